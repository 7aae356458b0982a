use crate::api::contract::Supplement;
pub(crate) const SUPPLEMENT: Supplement =
    Supplement { tag: "Operator", schemas: &[], parameters: &[], signature: None };
