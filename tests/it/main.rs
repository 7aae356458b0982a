//! Stories in the users' words: a real database file, real sockets on 127.0.0.1, and a clock that is moved by hand.
//!
//! | room | what its stories promise |
//! |---|---|
//! | `asg` | ASG's page: webhooks and tasks, as its customers use them |
//! | `asilichain` | AsiliChain's page: webhooks, events, deliveries and retries, as its cooperatives use them |
//! | `delivery` | an event on its way: published, signed, sent, retried and resumed; receivers and names that fail |
//! | `model` | the queue and the lanes beside a plain model: no sockets, hundreds of steps in milliseconds |
//! | `durability` | data on disk stays: kills, full disks, damage, backups, upgrades; old rows go |
//! | `operator` | the operator's work: overview, search, recoveries, alerts, mail, health, metrics, audit |
//! | `dashboard` | the dashboard's pages, forms and sessions, also in a real browser |
//! | `security` | access, addresses, limits, bad input, and secrets |
//! | `program` | the built program and its files: commands, settings, log, memory, contract, README, source |
//! | `support` | no stories: servers, clients, receivers and files that stories use |

#![expect(clippy::expect_used, clippy::panic, reason = "a story that goes wrong must stop")]
#![expect(unreachable_pub, reason = "one binary: its modules share freely")]

mod asg;
mod asilichain;
mod dashboard;
mod delivery;
mod durability;
mod model;
mod operator;
mod program;
mod security;
mod support;
