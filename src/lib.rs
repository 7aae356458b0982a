//! Ngoma, the drum that carries news from village to village: a self-hosted webhook sender in one binary, with one
//! SQLite file.
//!
//! A platform publishes events; Ngoma stores them durably, signs them, delivers them to every subscribed webhook,
//! retries on a published schedule that survives restarts, suspends webhooks that stay down, alerts a person, and lets
//! that person replay and resume. It speaks two public webhook APIs from one engine.
//!
//! # The floors
//!
//! A floor uses only floors below it.
//!
//! | floor | what it holds |
//! |---|---|
//! | `main`, [`cli`] | the command line: one file per command |
//! | [`server`] | puts all parts together, runs them and stops them |
//! | [`api`] and [`dashboard`] | the doors: the API for programs, with its OpenAPI document, and the pages for people. They never use each other |
//! | [`http`] | the steps that every request passes: connections, limits, tokens, the log. It knows no vendor, no OpenAPI and no page. poem lives here and above |
//! | [`app`] | the use cases: one method for each. It is the only way from a door to the store and the engine |
//! | [`tls`] | the server's own certificate: from files, or from an authority by ACME (by ureq too), renewed in time |
//! | [`engine`] | the work without a request: it sends deliveries and alerts, and removes old rows. ureq lives here |
//! | [`store`] | every line of SQL; the only user of rusqlite and r2d2 |
//! | [`metrics`] | counters and gauges, for `/metrics` |
//! | [`clock`] | the time |
//! | [`domain`] | the language of the problem: pure values and functions |
//! | [`guide`] | the user's guide: chapters in Markdown, and the pages made of them |
//! | [`error`], [`config`], [`keyed_semaphore`] | the errors, the settings, permits for each account |
//!
//! # The way of an event
//!
//! A door parses a request into domain values and calls one method of the [`app`], which writes inside
//! [`store::Db::write`]: `publish` stores the event and one delivery per endpoint that wants it. All writes run on one
//! thread and share commits; the door answers after the commit, so a 202 means *on disk*. A delivery that may be sent
//! at once is claimed as it is made; every commit hands its news to the engine. The engine's round is one transaction:
//! settle ended attempts, claim due deliveries, lane by lane ([`engine::lanes`]). Claims are prefetched and go to
//! sending threads, each of which makes a POST, reports an outcome (a value, never an error) and takes the next claim.
//! A pure function, [`domain::delivery::settle`], decides what follows from an outcome.
//!
//! An alert is written in the same transaction, and sent later ([`engine::alerts`]): each channel has an outbox of its
//! own, so that a mail server that hangs delays no delivery.
//!
//! A request passes the pipeline of [`http`]: it finds the door of the request, checks the limits, gives a refusal the
//! shape of the door's errors, and writes the log line. It knows no door by itself: `server/doors.rs` hands them in.
//!
//! The [`dashboard`] renders pages by typed templates. It does the same things as the API, with the same rights. It
//! knows no vendor by name: the app hands it the vendors' dialects.
//!
//! A dialect is data and one pure function, [`domain::profile::Profile`]: a third vendor is a new folder in `api/`, a
//! section of the config with its rules in `config/rules.rs`, its lines in `api/mod.rs`, and its name in the help of
//! `cli`.
//!
//! # The right to act
//!
//! A request is let in by its token or its session when its head has come. Then it may wait long, for its body or for
//! the writer. So its right to act is kept as an [`app::Access`], with a [`domain::grant::Grant`] in it. Every handler
//! takes it and hands it on. [`store::Db::write`] checks the grant again in the transaction that writes,
//! [`store::Db::read_as`] after the read. If the token was revoked, the session ended, the scope was taken away or the
//! account was erased meanwhile, the request is refused and writes nothing. An account's name means the account that
//! had this name when the request began. Accepted work goes on without the token: events are delivered, recoveries go
//! on.
//!
//! # What never happens
//!
//! - No door writes or reads for a request without its access, and none comes to the store or the engine but through
//!   [`app`].
//! - The domain never asks the time; only `clock.rs` does.
//! - The store knows no HTTP status and no vendor's word.
//! - The engine never parses JSON: bodies are finished by concatenation.
//! - No transaction is open during a network call.
//! - Nothing but SQLite closes the database file while it is open: that would drop SQLite's locks.
//! - No bytes of others are kept without a limit: bodies of requests and answers count against a budget that tokens
//!   share, large bodies of deliveries against one that endpoints share.
//! - No stored body is sent that does not match its checksum.
//! - No log line holds a token or a secret, at any level.
//! - Nothing waits for the log: lines that it cannot take are dropped and counted.
//! - Only `settle`, `give_back` and `interrupt` leave the claimed state.
//! - Nothing outside `api/asg` says "asg", except `api/mod.rs`, the config and the help of `cli`; likewise for
//!   AsiliChain. The two never use each other.
//! - No files import each other in a circle.
//! - No file is longer than 450 lines, no function longer than 70.
//!
//! # Names
//!
//! **account** (a cooperative of AsiliChain, or a customer of ASG Gateway), **token**, **endpoint** (on the wire:
//! webhook), **event**, **delivery** (an event on its way to an endpoint), **attempt** (one POST), **claim** (the right
//! to attempt), **lane** (an endpoint's place in the order of serving), **round** (one pass of the engine, with one
//! transaction), **prefetched** (claimed, not begun), **probation** (an endpoint whose last attempt timed out),
//! **outcome** (the end of an attempt), **settlement** (the decision after it), **wait**, **due**, **exhausted** (a
//! dead letter), **suspended**, **held**, **outage** (an endpoint has given up deliveries and had no success since),
//! **retry** (the next attempt by itself), **replay** (a person sends a delivery again), **recovery** (every matching
//! delivery is replayed), **missed** (failed, and no replay has delivered it since), **turn** (of a receiver, from
//! succeeding to failing or back), **resume** (of a suspended endpoint; AsiliChain's page says "reactivate"), **test
//! delivery**, **publish**, **fan out**, **audience**, **own key** (the first member of a
//! payload whose name ends in `_id`), **idempotency key**, **scan** (a look through stored payloads, for
//! a limited time), **signing secret**, **signature**, **profile** (the engine's part of a vendor), **dialect** (a profile
//! and the vendor's words, for the doors that serve all vendors), **envelope**, **alert**, **channel** (of alerts: log,
//! mail, or a service that takes POSTs), **notice** (an event about an account's webhooks, for its own programs),
//! **retention**, **milestone** (how far the tables had grown at some time), **erasure**, **scope** (an action that a token
//! allows), **visible** (the accounts that a request may see), **grant** (the right by which a request acts), **access**
//! (a grant and the visible part), **session** (a browser that showed a token, or opened a **sign-in link**: it opens the
//! dashboard of an account, once), **audit** (who changed what), **stats** (attempts counted by minute and hour).

pub mod api;
pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod dashboard;
pub mod domain;
pub mod engine;
pub mod error;
pub mod guide;
pub mod http;
pub mod keyed_semaphore;
pub mod metrics;
pub mod server;
pub mod store;
pub mod tls;
