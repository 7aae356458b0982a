//! The fields of each event's `data`, as the vendor's event reference lists them: one table for the schemas
//! and the checks of payloads.

/// The kind of a field's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A string.
    Text,
    /// A number.
    Number,
    /// A number without a fraction.
    Integer,
    /// `true` or `false`.
    Flag,
    /// A string that is an RFC 3339 time.
    Time,
}

/// A field of an event's `data`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field {
    /// Its name.
    pub(super) name: &'static str,
    /// The kind of its value.
    pub(super) kind: Kind,
    /// Whether one of the vendor's own examples does without it, or the vendor does not list it.
    pub(super) optional: bool,
}

/// The fields of this event; none for an event that the catalogue does not have.
pub(super) fn fields(event: &str) -> &'static [Field] {
    FIELDS.iter().find(|(name, _)| *name == event).map_or(&[], |(_, fields)| fields)
}

const fn field(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, optional: false }
}

const fn maybe(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, optional: true }
}

use Kind::{Flag as B, Integer as I, Number as N, Text as S, Time as T};

/// Each event of the catalogue with its fields, in the order of the reference.
///
/// The vendor does not list the fields of `loan.repaid` and `dds.filed`; those of their sample data stand here. The event
/// reference and the example of the vendor's page differ in `batch.exported`.
#[rustfmt::skip]
const FIELDS: &[(&str, &[Field])] = &[
    ("farmer.registered", &[
        field("farmer_id", S), field("cooperative_id", S), field("registration_source", S),
        field("farm_area_hectares", N), field("gfw_deforestation_free", B), field("boundary_ipfs_cid", S),
        field("credit_score_initial", I), field("mantle_tx_hash", S), field("registered_at", T),
    ]),
    ("batch.delivered", &[
        field("batch_id", S), field("token_id", I), field("farmer_id", S), field("cooperative_id", S),
        field("weight_kg", N), field("grade", S), field("moisture_pct", N), field("collateral_value_usdc", N),
        field("max_loan_usdc", N), field("dds_eligible", B), field("mantle_tx_hash", S),
        field("hedera_sequence_number", S), field("delivered_at", T),
    ]),
    ("batch.graded", &[
        field("batch_id", S), field("token_id", I), field("grade", S), field("moisture_pct", N),
        field("cupping_score", N), field("dds_eligible", B), field("collateral_value_usdc", N),
        field("max_loan_usdc", N), field("evidence_ipfs_cid", S), field("mantle_tx_hash", S), field("graded_at", T),
    ]),
    ("batch.warehoused", &[
        field("batch_id", S), field("token_id", I), field("warehouse_id", S), field("lot_number", S),
        field("uwrsa_receipt_reference", S), field("collateral_value_usdc", N), field("ltv_pct", N),
        field("warehoused_at", T),
    ]),
    ("batch.committed", &[
        field("batch_id", S), field("token_id", I), field("purchase_order_id", S), field("buyer_organisation", S),
        field("agreed_price_usdc", N), field("collateral_value_usdc", N), field("ltv_pct", N),
        field("committed_at", T),
    ]),
    ("batch.exported", &[
        field("batch_id", S), field("token_id", I), field("farmer_id", S), field("cooperative_id", S),
        field("ucda_export_permit", S), maybe("destination_country", S), maybe("vessel_name", S),
        maybe("bill_of_lading", S), field("has_active_loan", B), field("auto_repayment_triggered", B),
        maybe("dds_id", S), field("mantle_tx_hash", S), maybe("exported_at", T), maybe("weight_kg", N),
        maybe("grade", S), maybe("hedera_sequence_number", S), maybe("timestamp", T),
    ]),
    ("batch.settled", &[
        field("batch_id", S), field("token_id", I), field("farmer_id", S), field("buyer_payment_usdc", N),
        field("principal_repaid_usdc", N), field("interest_repaid_usdc", N), field("protocol_fee_usdc", N),
        field("net_to_farmer_usdc", N), field("farmer_credit_score_new", I), field("batch_token_burned", B),
        field("payout_id", S), field("settled_at", T),
    ]),
    ("loan.originated", &[
        field("loan_id", S), field("farmer_id", S), field("batch_id", S), field("mfi_id", S),
        field("principal_usdc", N), field("apr_pct", N), field("ltv_pct", N), field("collateral_value_usdc", N),
        field("originated_at", T),
    ]),
    ("loan.repaid", &[
        maybe("loan_id", S), maybe("farmer_id", S), maybe("batch_id", S), maybe("principal_repaid_usdc", N),
        maybe("interest_repaid_usdc", N), maybe("farmer_credit_score_new", I), maybe("repaid_at", T),
    ]),
    ("loan.defaulted", &[
        field("loan_id", S), field("farmer_id", S), field("principal_usdc", N),
        field("loss_absorbed_by_reserve_usdc", N), field("farmer_credit_score_new", I),
        field("farmer_blocked_from_new_loans", B), field("defaulted_at", T),
    ]),
    ("dds.generated", &[
        field("dds_id", S), field("shipment_id", S), field("cooperative_id", S), field("batch_count", I),
        field("farms_count", I), field("total_weight_kg", N), field("destination_country", S), field("ipfs_cid", S),
        field("ipfs_url", S), field("traces_reference", S), field("generated_at", T),
    ]),
    ("dds.filed", &[
        maybe("dds_id", S), maybe("shipment_id", S), maybe("cooperative_id", S), maybe("traces_reference", S),
        maybe("filed_at", T),
    ]),
    ("credit.updated", &[
        field("farmer_id", S), field("event_type", S), field("score_before", I), field("score_after", I),
        field("change", I), field("tier_before", S), field("tier_after", S), field("batch_id", S),
        field("mantle_tx_hash", S), field("updated_at", T),
    ]),
    ("payout.completed", &[
        field("payout_id", S), field("farmer_id", S), field("batch_id", S), field("amount_usdc", N),
        field("amount_ugx", I), field("mtn_transaction_id", S), field("elapsed_seconds", I), field("completed_at", T),
    ]),
    ("payout.failed", &[
        field("payout_id", S), field("farmer_id", S), field("batch_id", S), field("amount_usdc", N),
        field("retry_count", I), field("failure_reason", S), field("fonbnk_error_code", S), field("resolution", S),
        field("failed_at", T),
    ]),
];
