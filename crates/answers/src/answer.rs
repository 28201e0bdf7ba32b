//! One answer, and its object.

use coalmine_json::render::Fields;

/// An answer: what it is, what it is about, and what there is to say.
///
/// ```
/// use coalmine_answers::Answer;
/// use coalmine_json::render::Fields;
///
/// let answer = Answer::new("feature", Fields::new().with("name", "search_v3"), Fields::new().with("percent", 5_u8));
/// assert_eq!(answer.object().pairs(), "type=feature name=search_v3 percent=5");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The type of the object.
    pub kind: &'static str,
    /// What tells it from the others of a list.
    pub id: Fields,
    /// Everything else.
    pub rest: Fields,
}

impl Answer {
    /// An answer out of a list.
    #[must_use]
    pub const fn new(kind: &'static str, id: Fields, rest: Fields) -> Self {
        Self { kind, id, rest }
    }

    /// An answer that stands alone.
    #[must_use]
    pub fn single(kind: &'static str, fields: Fields) -> Self {
        Self { kind, id: Fields::new(), rest: fields }
    }

    /// The fields without the type.
    #[must_use]
    pub fn fields(self) -> Fields {
        self.id.and(self.rest)
    }

    /// The object that says what it is.
    #[must_use]
    pub fn object(self) -> Fields {
        Fields::new().with("type", self.kind).and(self.id).and(self.rest)
    }
}
