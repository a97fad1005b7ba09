//! The prepared statements of a connection.

use std::collections::BTreeMap;

use tabvault_fe_coordinator::sql::{Prepared, Statement};

use super::parameters::{self, ParameterType};
use super::refusal::Refusal;

/// Prepared statements of one connection.
const MOST: usize = 1024;
/// Bytes of their texts: a text takes many times its size once it is read.
const MOST_TEXT: usize = 1 << 20;

/// Prepared statements by number.
#[derive(Debug)]
pub(super) struct Statements {
    all: BTreeMap<u32, One>,
    next: u32,
    text: usize,
    long: usize,
    most_long: usize,
}

#[derive(Debug)]
struct One {
    prepared: Prepared,
    text: usize,
    types: Vec<ParameterType>,
    long: BTreeMap<usize, Vec<u8>>,
    too_long: bool,
}

impl Statements {
    /// None yet. At most `most_long` bytes may be sent ahead for parameters.
    pub(super) fn new(most_long: usize) -> Self {
        Self { all: BTreeMap::new(), next: 1, text: 0, long: 0, most_long }
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        *self = Self { next: self.next, ..Self::new(self.most_long) };
    }

    /// Keeps `text` under a new number, and answers with that and the number of parameters.
    ///
    /// # Errors
    /// It cannot be read or is not one statement, or there are too many.
    pub(super) fn prepare(&mut self, text: &str) -> Result<(u32, u16), Refusal> {
        if self.all.len() >= MOST || self.text + text.len() > MOST_TEXT {
            return Err(Refusal::too_many_statements(self.all.len()));
        }
        let prepared = Prepared::new(text)?;
        match prepared.statements() {
            0 => return Err(Refusal::empty()),
            1 => {}
            _ => return Err(Refusal::one_statement_to_prepare()),
        }
        let parameters = u16::try_from(prepared.parameters()).map_err(|_| Refusal::too_many_parameters())?;
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        self.text += text.len();
        let one = One { prepared, text: text.len(), types: Vec::new(), long: BTreeMap::new(), too_long: false };
        self.all.insert(number, one);
        Ok((number, parameters))
    }

    /// Keeps `bytes` for a parameter of the next execution. What is wrong with it is said then: this has no answer.
    pub(super) fn send_ahead(&mut self, number: u32, parameter: u16, bytes: &[u8]) {
        let Some(one) = self.all.get_mut(&number) else { return };
        if usize::from(parameter) >= one.prepared.parameters() || self.long + bytes.len() > self.most_long {
            one.too_long = true;
            return;
        }
        self.long += bytes.len();
        one.long.entry(parameter.into()).or_default().extend_from_slice(bytes);
    }

    /// The statements of `number` with the values in `body`; what was sent ahead is used up.
    ///
    /// # Errors
    /// No such number, or values that do not fit.
    pub(super) fn bind(&mut self, number: u32, body: &[u8]) -> Result<Vec<Statement>, Refusal> {
        let (too_long, long) = self.take_ahead(number)?;
        if too_long {
            return Err(Refusal::packet_too_large());
        }
        let one = self.all.get_mut(&number).ok_or_else(|| Refusal::unknown_statement(number))?;
        let ahead = |index: usize| long.get(&index).map(Vec::as_slice);
        let values = parameters::read(body, one.prepared.parameters(), &mut one.types, ahead)?;
        Ok(one.prepared.bind(&values)?)
    }

    /// Forgets what was sent ahead.
    ///
    /// # Errors
    /// No such number.
    pub(super) fn reset(&mut self, number: u32) -> Result<(), Refusal> {
        self.take_ahead(number).map(|_| ())
    }

    fn take_ahead(&mut self, number: u32) -> Result<(bool, BTreeMap<usize, Vec<u8>>), Refusal> {
        let one = self.all.get_mut(&number).ok_or_else(|| Refusal::unknown_statement(number))?;
        let long = std::mem::take(&mut one.long);
        self.long -= long.values().map(Vec::len).sum::<usize>();
        Ok((std::mem::take(&mut one.too_long), long))
    }

    /// Forgets a statement, if there is one.
    pub(super) fn close(&mut self, number: u32) {
        // What is unknown needs no forgetting, and there is no answer that could say so.
        let _ = self.reset(number);
        if let Some(one) = self.all.remove(&number) {
            self.text -= one.text;
        }
    }
}
