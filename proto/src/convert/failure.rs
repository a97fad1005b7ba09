//! Failures inside messages; as gRPC statuses they are in [`crate::failure`].

use tabvault_common::failure::{Failure, Kind, Retry};

use super::{At, text};
use crate::v1;

impl From<&Failure> for v1::Failure {
    fn from(failure: &Failure) -> Self {
        let retry = match failure.retry {
            Retry::Never => v1::Retry::Never,
            Retry::Safe => v1::Retry::Safe,
            Retry::OutcomeUnknown => v1::Retry::OutcomeUnknown,
        };
        Self { kind: failure.kind.as_str().to_owned(), retry: retry.into(), message: failure.message.clone() }
    }
}

impl TryFrom<v1::Failure> for Failure {
    type Error = Self;

    fn try_from(wire: v1::Failure) -> Result<Self, Self> {
        failure(Some(wire), At::root("failure"))
    }
}

pub(super) fn failure(wire: Option<v1::Failure>, at: At<'_>) -> Result<Failure, Failure> {
    let wire = wire.ok_or_else(|| at.missing("kind, retry and message"))?;
    let retry = match v1::Retry::try_from(wire.retry) {
        Ok(v1::Retry::Never) => Retry::Never,
        Ok(v1::Retry::Safe) => Retry::Safe,
        Ok(v1::Retry::OutcomeUnknown) => Retry::OutcomeUnknown,
        Ok(v1::Retry::Unspecified) | Err(_) => {
            let expected = "RETRY_NEVER, RETRY_SAFE or RETRY_OUTCOME_UNKNOWN";
            return Err(at.field("retry").refuse(format_args!("is {}: expected {expected}", wire.retry)));
        }
    };
    // A later version may know more kinds. Were its reports refused, it would send them again for ever.
    let kind = Kind::parse(&text(wire.kind, at.field("kind"))?).unwrap_or(Kind::Internal);
    Ok(Failure { kind, retry, message: wire.message })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert::samples::{refuses, survives};

    #[test]
    fn failures_of_every_kind_survive_the_wire() {
        for kind in Kind::ALL {
            for retry in [Retry::Never, Retry::Safe, Retry::OutcomeUnknown] {
                let failure = Failure { kind, retry, message: "open `/data/12/header`: gone".to_owned() };
                survives(&failure, v1::Failure::from(&failure));
            }
        }
    }

    #[test]
    fn a_kind_of_a_later_version_is_internal_and_keeps_its_message() {
        let later = v1::Failure {
            kind: "EVAPORATED".to_owned(),
            retry: v1::Retry::Safe.into(),
            message: "it went up in smoke".to_owned(),
        };
        assert_eq!(Failure::try_from(later), Ok(Failure::transient(Kind::Internal, "it went up in smoke")));
    }

    #[test]
    fn failures_without_kind_or_retry_are_refused() {
        refuses::<Failure, _>(
            &v1::Failure::from(&Failure::fatal(Kind::Busy, "it is used")),
            &[
                ("failure.kind", |wire| wire.kind.clear()),
                ("failure.retry", |wire| wire.retry = 0),
                ("failure.retry", |wire| wire.retry = 9),
            ],
        );
    }
}
