//! `/metrics` and `/healthz`.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

/// What `/healthz` answers with: 200 and the text, or 503 and why.
pub type Health = Arc<dyn Fn() -> Result<String, String> + Send + Sync>;

/// How often samples of histograms are folded, so that they do not pile up when nobody asks for them.
const UPKEEP: Duration = Duration::from_secs(5);

/// The routes of an HTTP listener. Needs a tokio runtime.
pub fn routes(health: Health) -> Router {
    let metrics = recorder();
    Router::new()
        .route("/metrics", get(async move || render(&metrics)))
        .route("/healthz", get(async move || answer(health())))
}

/// Records from now on what `/metrics` will show. Needs a tokio runtime; [`routes`] does it as well.
pub fn record_metrics() {
    recorder();
}

/// The process's one recorder of metrics, installed at the first call.
fn recorder() -> PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    let first = || {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("metrics are recorded elsewhere in this process: /metrics stays empty");
        }
        metrics::gauge!("tabvault_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        let upkeep = handle.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(UPKEEP).await;
                upkeep.run_upkeep();
            }
        });
        handle
    };
    HANDLE.get_or_init(first).clone()
}

fn render(metrics: &PrometheusHandle) -> impl IntoResponse + use<> {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.render())
}

fn answer(health: Result<String, String>) -> impl IntoResponse {
    match health {
        Ok(text) => (StatusCode::OK, format!("{text}\n")),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}
