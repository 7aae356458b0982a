//! The 15 events of the vendor's catalogue, in the words and the order of its page, each with sample data.

use crate::{
    api::openapi::Words,
    domain::{excerpt::excerpt, json},
    error::{Error, Invalid, Result},
};

/// The account of the samples.
const COOPERATIVE: &str = r#""cooperative_id":"COOP-MBALE-001""#;

#[derive(Debug)]
pub(super) struct Entry {
    /// Its name.
    pub(super) name: &'static str,
    /// The cause of the event.
    pub(super) trigger: &'static str,
    /// The use of the event.
    pub(super) useful_for: &'static str,
    /// Sample data: a JSON object.
    pub(super) sample: &'static str,
}

impl Entry {
    pub(super) fn sample_for(&self, cooperative: &str) -> String {
        self.sample.replace(COOPERATIVE, &format!(r#""cooperative_id":{}"#, json::quote(cooperative)))
    }
}

/// The names of the events.
#[derive(Debug)]
pub(super) enum EventNames {}

impl Words for EventNames {
    const SCHEMA: &'static str = "EventName";
    const MEANING: &'static str = "The name of an event of the catalogue. A later version may add events.";

    fn all() -> Vec<&'static str> {
        names().collect()
    }
}

pub(super) fn names() -> impl Iterator<Item = &'static str> + Clone {
    CATALOGUE.iter().map(|entry| entry.name)
}

/// The event of this name.
///
/// # Errors
/// [`Invalid::UnknownEvent`] if the catalogue has no such event.
pub(super) fn find(name: &str) -> Result<&'static Entry> {
    CATALOGUE.iter().find(|entry| entry.name == name).ok_or_else(|| {
        let message = format!("event '{}' is unknown: GET /event-types lists the catalogue", excerpt(name));
        Error::invalid(Invalid::UnknownEvent, message)
    })
}

pub(super) const CATALOGUE: &[Entry] = &[
    Entry {
        name: "farmer.registered",
        trigger: "Farmer added to FarmerRegistry",
        useful_for: "Cooperative CRM sync",
        sample: r#"{"farmer_id":"UG-MBL-2026-000317","cooperative_id":"COOP-MBALE-001","registration_source":"field_agent_app","farm_area_hectares":1.4,"gfw_deforestation_free":true,"boundary_ipfs_cid":"bafybeiboundary000317","credit_score_initial":500,"mantle_tx_hash":"0x5e0a17","registered_at":"2026-03-02T08:15:00Z"}"#,
    },
    Entry {
        name: "batch.delivered",
        trigger: "BatchToken minted",
        useful_for: "MFI dashboards showing new collateral",
        sample: r#"{"batch_id":"BATCH-2026-000731","token_id":731,"farmer_id":"UG-MBL-2026-000317","cooperative_id":"COOP-MBALE-001","weight_kg":62.5,"grade":"screen15","moisture_pct":11.8,"collateral_value_usdc":312.5,"max_loan_usdc":187.5,"dds_eligible":true,"mantle_tx_hash":"0x7b31c4","hedera_sequence_number":"903114","delivered_at":"2026-04-10T06:40:00Z"}"#,
    },
    Entry {
        name: "batch.graded",
        trigger: "Quality assessment recorded",
        useful_for: "DDS eligibility tracking",
        sample: r#"{"batch_id":"BATCH-2026-000731","token_id":731,"grade":"screen18","moisture_pct":11.5,"cupping_score":84.25,"dds_eligible":true,"collateral_value_usdc":340,"max_loan_usdc":204,"evidence_ipfs_cid":"bafybeievidence000731","mantle_tx_hash":"0x7b31c5","graded_at":"2026-04-11T09:05:00Z"}"#,
    },
    Entry {
        name: "batch.warehoused",
        trigger: "Storage confirmed",
        useful_for: "Buyer portal inventory update",
        sample: r#"{"batch_id":"BATCH-2026-000731","token_id":731,"warehouse_id":"WH-MBALE-02","lot_number":"LOT-0417","uwrsa_receipt_reference":"UWRSA-2026-00417","collateral_value_usdc":340,"ltv_pct":55,"warehoused_at":"2026-04-12T14:20:00Z"}"#,
    },
    Entry {
        name: "batch.committed",
        trigger: "PurchaseOrder confirmed",
        useful_for: "Exporter workflow",
        sample: r#"{"batch_id":"BATCH-2026-000731","token_id":731,"purchase_order_id":"PO-2026-0088","buyer_organisation":"Nordlys Roasters","agreed_price_usdc":371.25,"collateral_value_usdc":340,"ltv_pct":55,"committed_at":"2026-04-15T10:00:00Z"}"#,
    },
    Entry {
        name: "batch.exported",
        trigger: "UCDA export confirmed",
        useful_for: "Loan repayment trigger (internal) / buyer portal",
        sample: r#"{"batch_id":"BATCH-2026-000731","token_id":731,"farmer_id":"UG-MBL-2026-000317","cooperative_id":"COOP-MBALE-001","weight_kg":62.5,"grade":"screen18","ucda_export_permit":"UCDA-EXP-2026-00731","destination_country":"NO","vessel_name":"MV Elgon","bill_of_lading":"BL-2026-5521","has_active_loan":true,"auto_repayment_triggered":true,"dds_id":"DDS-2026-0102","mantle_tx_hash":"0x7b31d0","hedera_sequence_number":"904220","exported_at":"2026-04-20T11:54:30Z","timestamp":"2026-04-20T11:54:30Z"}"#,
    },
    Entry {
        name: "batch.settled",
        trigger: "Auto-repayment complete, net disbursed",
        useful_for: "MFI yield reporting",
        sample: r#"{"batch_id":"BATCH-2026-000731","token_id":731,"farmer_id":"UG-MBL-2026-000317","buyer_payment_usdc":371.25,"principal_repaid_usdc":187,"interest_repaid_usdc":4.62,"protocol_fee_usdc":1.86,"net_to_farmer_usdc":177.77,"farmer_credit_score_new":528,"batch_token_burned":true,"payout_id":"PAY-2026-0731","settled_at":"2026-04-22T16:30:00Z"}"#,
    },
    Entry {
        name: "loan.originated",
        trigger: "Loan disbursed to farmer",
        useful_for: "MFI loan book update",
        sample: r#"{"loan_id":"LOAN-2026-0204","farmer_id":"UG-MBL-2026-000317","batch_id":"BATCH-2026-000731","mfi_id":"MFI-ELGON","principal_usdc":187,"apr_pct":16,"ltv_pct":55,"collateral_value_usdc":340,"originated_at":"2026-04-13T07:10:00Z"}"#,
    },
    Entry {
        name: "loan.repaid",
        trigger: "Loan fully settled",
        useful_for: "MFI yield confirmation",
        sample: r#"{"loan_id":"LOAN-2026-0204","farmer_id":"UG-MBL-2026-000317","batch_id":"BATCH-2026-000731","principal_repaid_usdc":187,"interest_repaid_usdc":4.62,"farmer_credit_score_new":528,"repaid_at":"2026-04-22T16:29:00Z"}"#,
    },
    Entry {
        name: "loan.defaulted",
        trigger: "Forbearance expired without repayment",
        useful_for: "MFI risk alert",
        sample: r#"{"loan_id":"LOAN-2026-0119","farmer_id":"UG-MBL-2025-000088","principal_usdc":120,"loss_absorbed_by_reserve_usdc":36,"farmer_credit_score_new":310,"farmer_blocked_from_new_loans":true,"defaulted_at":"2026-05-30T00:00:00Z"}"#,
    },
    Entry {
        name: "dds.generated",
        trigger: "DDS PDF created and IPFS-pinned",
        useful_for: "Exporter compliance workflow",
        sample: r#"{"dds_id":"DDS-2026-0102","shipment_id":"SHIP-2026-0031","cooperative_id":"COOP-MBALE-001","batch_count":14,"farms_count":11,"total_weight_kg":905.5,"destination_country":"NO","ipfs_cid":"bafybeidds0102","ipfs_url":"ipfs://bafybeidds0102","traces_reference":"TRACES-NO-2026-0102","generated_at":"2026-04-18T12:00:00Z"}"#,
    },
    Entry {
        name: "dds.filed",
        trigger: "TRACES reference confirmed",
        useful_for: "Customs documentation complete",
        sample: r#"{"dds_id":"DDS-2026-0102","shipment_id":"SHIP-2026-0031","cooperative_id":"COOP-MBALE-001","traces_reference":"TRACES-NO-2026-0102","filed_at":"2026-04-19T08:45:00Z"}"#,
    },
    Entry {
        name: "credit.updated",
        trigger: "CreditScore changed",
        useful_for: "MFI credit decision systems",
        sample: r#"{"farmer_id":"UG-MBL-2026-000317","event_type":"LOAN_REPAID","score_before":500,"score_after":528,"change":28,"tier_before":"BRONZE","tier_after":"SILVER","batch_id":"BATCH-2026-000731","mantle_tx_hash":"0x7b31e2","updated_at":"2026-04-22T16:31:00Z"}"#,
    },
    Entry {
        name: "payout.completed",
        trigger: "Farmer MTN MoMo credited",
        useful_for: "Cooperative farmer management",
        sample: r#"{"payout_id":"PAY-2026-0731","farmer_id":"UG-MBL-2026-000317","batch_id":"BATCH-2026-000731","amount_usdc":177.77,"amount_ugx":657749,"mtn_transaction_id":"MTN-88213377","elapsed_seconds":41,"completed_at":"2026-04-22T16:31:11Z"}"#,
    },
    Entry {
        name: "payout.failed",
        trigger: "Payout retries exhausted",
        useful_for: "Cooperative operations alert",
        sample: r#"{"payout_id":"PAY-2026-0732","farmer_id":"UG-MBL-2026-000318","batch_id":"BATCH-2026-000732","amount_usdc":92.4,"retry_count":5,"failure_reason":"Mobile number is not registered","fonbnk_error_code":"RECIPIENT_NOT_FOUND","resolution":"Correct the number and ask for a new payout","failed_at":"2026-04-22T17:05:00Z"}"#,
    },
];
