//! From words to an expression: the grammar, and which operands fit which operators.
//!
//! Loosest first: OR; AND; `=` `<>` IS; `<` and its like, BETWEEN, IN, CONTAINS and its like; sign and NOT; parentheses.
//! Each level groups to the left. NOT binds tighter than comparisons, so `NOT a > 1` means `(NOT a) > 1` and is refused.
//! Words behind a complete expression are not looked at. Source: the grammar section of `SelectorParser.jj`.

use super::SqlError;
use super::expression::{Expression, Order, Place};
use super::token::{Lexer, Token};
use crate::limits::{SQL_BYTES_MAX, SQL_DEPTH_MAX, SQL_NAMES_MAX};

/// The expression and the names of the properties in it.
pub(super) fn parse(text: &str) -> Result<(Expression, Vec<Box<str>>), SqlError> {
    if text.len() > SQL_BYTES_MAX {
        let reason = format!("the expression has {} bytes, at most {SQL_BYTES_MAX} are allowed", text.len());
        return Err(SqlError::new(text, 0, reason));
    }
    let mut lexer = Lexer::new(text);
    let next = lexer.next()?;
    let mut parser = Parser { text, lexer, next, names: Vec::new(), nesting: 0 };
    let whole = parser.or()?;
    Ok((parser.boolean(whole)?, parser.names))
}

struct Parser<'a> {
    text: &'a str,
    lexer: Lexer<'a>,
    /// The word that is next, and where it starts.
    next: (Token<'a>, usize),
    names: Vec<Box<str>>,
    /// Signs, NOTs and parentheses around the next word.
    nesting: usize,
}

/// A part of the expression: where it starts, and how many levels it has.
struct Part {
    expression: Expression,
    at: usize,
    depth: usize,
}

type Parsed = Result<Part, SqlError>;

impl<'a> Parser<'a> {
    fn or(&mut self) -> Parsed {
        self.chain(Token::Or, Self::and, Expression::Or)
    }

    fn and(&mut self) -> Parsed {
        self.chain(Token::And, Self::equality, Expression::And)
    }

    /// Operands with the same word between them, as one node however many there are.
    fn chain(
        &mut self,
        between: Token<'_>,
        operand: fn(&mut Self) -> Parsed,
        join: fn(Vec<Expression>) -> Expression,
    ) -> Parsed {
        let mut part = operand(self)?;
        if self.next.0 != between {
            return Ok(part);
        }
        let (at, mut depth, mut operands) = (part.at, 0, Vec::new());
        loop {
            depth = depth.max(part.depth);
            operands.push(self.boolean(part)?);
            if !self.take_if(between)? {
                return self.node(join(operands), at, depth);
            }
            part = operand(self)?;
        }
    }

    fn equality(&mut self) -> Parsed {
        let mut left = self.comparison()?;
        loop {
            let (at, depth) = (left.at, left.depth);
            let (expression, depth, not) = match self.next.0 {
                sign @ (Token::Equal | Token::NotEqual) => {
                    self.advance()?;
                    let right = self.comparison()?;
                    self.check_equal(&left, &right)?;
                    let depth = depth.max(right.depth);
                    let equal = Expression::Equal(Box::new([left.expression, right.expression]));
                    (equal, depth, sign == Token::NotEqual)
                }
                Token::Is => {
                    self.advance()?;
                    let not = self.take_if(Token::Not)?;
                    self.expect(Token::Null, if not { "NULL" } else { "NULL or NOT NULL" })?;
                    (Expression::IsNull(Box::new(left.expression)), depth, not)
                }
                _ => return Ok(left),
            };
            left = self.node(expression, at, depth)?;
            if not {
                left = self.node(Expression::Not(Box::new(left.expression)), at, left.depth)?;
            }
        }
    }

    fn comparison(&mut self) -> Parsed {
        let mut left = self.unary()?;
        loop {
            left = match self.next.0 {
                Token::Less => self.order(Order::Less, left)?,
                Token::LessEqual => self.order(Order::LessEqual, left)?,
                Token::Greater => self.order(Order::Greater, left)?,
                Token::GreaterEqual => self.order(Order::GreaterEqual, left)?,
                Token::Not => {
                    self.advance()?;
                    match self.test(true, left)? {
                        Ok(part) => part,
                        Err(_) => return Err(self.expected("IN, BETWEEN, CONTAINS, STARTSWITH or ENDSWITH")),
                    }
                }
                _ => match self.test(false, left)? {
                    Ok(part) => part,
                    Err(left) => return Ok(left),
                },
            };
        }
    }

    fn order(&mut self, order: Order, left: Part) -> Parsed {
        self.advance()?;
        let right = self.unary()?;
        self.check_ordered(&left)?;
        self.check_ordered(&right)?;
        let depth = left.depth.max(right.depth);
        self.node(Expression::Order(order, Box::new([left.expression, right.expression])), left.at, depth)
    }

    /// One of the tests that NOT may stand before; gives the operand back if there is none.
    fn test(&mut self, not: bool, left: Part) -> Result<Result<Part, Part>, SqlError> {
        Ok(Ok(match self.next.0 {
            Token::Between => self.between(not, left)?,
            Token::In => self.member(not, left)?,
            Token::Contains => self.search(not, Place::Anywhere, left)?,
            Token::StartsWith => self.search(not, Place::Start, left)?,
            Token::EndsWith => self.search(not, Place::End, left)?,
            _ => return Ok(Err(left)),
        }))
    }

    fn between(&mut self, not: bool, value: Part) -> Parsed {
        self.advance()?;
        let low = self.unary()?;
        self.expect(Token::And, "AND")?;
        let high = self.unary()?;
        [&value, &low, &high].into_iter().try_for_each(|part| self.check_ordered(part))?;
        // Only the plain form is checked; NOT BETWEEN and negative bounds are not, as in Java.
        if !not && let Some(true) = low.expression.is_greater_constant(&high.expression) {
            return Err(self.error(low.at, "the lower bound of BETWEEN is greater than the upper one"));
        }
        let depth = value.depth.max(low.depth).max(high.depth);
        let operands = Box::new([value.expression, low.expression, high.expression]);
        self.node(Expression::Between { not, operands }, value.at, depth)
    }

    fn member(&mut self, not: bool, left: Part) -> Parsed {
        let Expression::Property(property) = left.expression else {
            return Err(self.error(left.at, "IN needs a property on its left"));
        };
        self.advance()?;
        self.expect(Token::Open, "(")?;
        let mut list = vec![self.text()?];
        while self.take_if(Token::Comma)? {
            list.push(self.text()?);
        }
        self.expect(Token::Close, ", or )")?;
        self.node(Expression::In { not, property, list }, left.at, 0)
    }

    fn search(&mut self, not: bool, place: Place, left: Part) -> Parsed {
        self.advance()?;
        let text = self.text()?;
        let operand = Box::new(left.expression);
        self.node(Expression::Search { not, place, operand, text }, left.at, left.depth)
    }

    fn unary(&mut self) -> Parsed {
        self.nesting += 1;
        if self.nesting > SQL_DEPTH_MAX {
            return Err(self.too_deep(self.next.1));
        }
        let at = self.next.1;
        let part = match self.next.0 {
            Token::Plus => {
                self.advance()?;
                self.unary()
            }
            Token::Minus => {
                self.advance()?;
                let operand = self.unary()?;
                self.node(Expression::Negate(Box::new(operand.expression)), at, operand.depth)
            }
            Token::Not => {
                self.advance()?;
                let operand = self.unary()?;
                let depth = operand.depth;
                let operand = self.boolean(operand)?;
                self.node(Expression::Not(Box::new(operand)), at, depth)
            }
            _ => self.primary(),
        };
        self.nesting -= 1;
        part
    }

    fn primary(&mut self) -> Parsed {
        let (token, at) = self.next;
        let expression = match token {
            Token::Open => {
                self.advance()?;
                let inner = self.or()?;
                self.expect(Token::Close, "an operator or )")?;
                return Ok(Part { at, ..inner });
            }
            Token::Integer(number) => self.integer(number)?,
            Token::Float(number) => self.float(number)?,
            Token::Text(raw) => Expression::Text(unquote(raw)),
            Token::Name(name) => Expression::Property(self.name(name)?),
            Token::True => Expression::Bool(true),
            Token::False => Expression::Bool(false),
            Token::Null => Expression::Null,
            _ => {
                return Err(self.expected("a property, a number, a text in single quotes, TRUE, FALSE, NULL, NOT or ("));
            }
        };
        self.advance()?;
        self.node(expression, at, 0)
    }

    fn integer(&self, number: &str) -> Result<Expression, SqlError> {
        let number = number.trim_end_matches(['l', 'L']);
        let long: i64 = number.parse().map_err(|_| self.error(self.next.1, "the number does not fit into 64 bits"))?;
        Ok(i32::try_from(long).map_or(Expression::Long(long), Expression::Int))
    }

    fn float(&self, number: &str) -> Result<Expression, SqlError> {
        match number.parse() {
            // Java compares with `Double.MIN_VALUE`, which is the smallest positive number.
            Ok(double) if double > 0.0 && f64::is_finite(double) => Ok(Expression::Double(double)),
            _ => Err(self.error(self.next.1, "the number is zero, or too small or too large for a double")),
        }
    }

    fn name(&mut self, name: &str) -> Result<usize, SqlError> {
        if let Some(known) = self.names.iter().position(|known| **known == *name) {
            return Ok(known);
        }
        if self.names.len() == SQL_NAMES_MAX {
            return Err(self.error(self.next.1, format!("more than {SQL_NAMES_MAX} different properties")));
        }
        self.names.push(name.into());
        Ok(self.names.len() - 1)
    }

    fn text(&mut self) -> Result<Box<str>, SqlError> {
        let Token::Text(raw) = self.next.0 else { return Err(self.expected("a text in single quotes")) };
        self.advance()?;
        Ok(unquote(raw))
    }

    fn boolean(&self, part: Part) -> Result<Expression, SqlError> {
        match part.expression {
            Expression::Property(name) => Ok(Expression::Cast(name)),
            expression if expression.is_boolean() => Ok(expression),
            _ => Err(self.error(part.at, "a condition or a property is needed here, this is a value")),
        }
    }

    fn check_ordered(&self, part: &Part) -> Result<(), SqlError> {
        let expression = &part.expression;
        if expression.is_boolean() || matches!(expression, Expression::Text(_)) {
            return Err(self.error(part.at, "only properties and numbers can be compared by order, this is neither"));
        }
        Ok(())
    }

    fn check_equal(&self, left: &Part, right: &Part) -> Result<(), SqlError> {
        if let Some(null) = [left, right].into_iter().find(|part| part.expression == Expression::Null) {
            return Err(self.error(null.at, "NULL cannot be compared, write IS NULL or IS NOT NULL"));
        }
        let is_bool = |part: &Part| matches!(part.expression, Expression::Bool(_));
        if is_bool(left) && right.expression.is_constant() && !is_bool(right) {
            return Err(self.error(right.at, "TRUE and FALSE cannot be compared with a text or a number"));
        }
        Ok(())
    }

    fn node(&self, expression: Expression, at: usize, depth: usize) -> Parsed {
        if depth >= SQL_DEPTH_MAX {
            return Err(self.too_deep(at));
        }
        Ok(Part { expression, at, depth: depth + 1 })
    }

    fn advance(&mut self) -> Result<(), SqlError> {
        self.next = self.lexer.next()?;
        Ok(())
    }

    fn take_if(&mut self, token: Token<'_>) -> Result<bool, SqlError> {
        let found = self.next.0 == token;
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    fn expect(&mut self, token: Token<'_>, shown: &str) -> Result<(), SqlError> {
        if self.take_if(token)? { Ok(()) } else { Err(self.expected(shown)) }
    }

    fn expected(&self, what: &str) -> SqlError {
        let at = self.next.1;
        let found: String = self.text[at..self.lexer.at()].chars().take(40).collect();
        let found = if found.is_empty() { "the end".into() } else { format!("{found:?}") };
        self.error(at, format!("{what} expected, found {found}"))
    }

    fn too_deep(&self, at: usize) -> SqlError {
        self.error(at, format!("more than {SQL_DEPTH_MAX} levels inside each other"))
    }

    fn error(&self, at: usize, reason: impl Into<String>) -> SqlError {
        SqlError::new(self.text, at, reason)
    }
}

fn unquote(raw: &str) -> Box<str> {
    raw.replace("''", "'").into()
}
