//! Alerts by POST.
