/// How files become samples. Checkpoints keep its version, so that a run whose data are now read otherwise can be
/// noticed.
package enum Reading {
    /// Raised by every change that gives a file other numbers, or a split other samples. Each change is a
    /// `ReadingChange`.
    ///
    /// In version 1, PNG files were blended and converted to grey in linear light, by gAMA and cHRM, and 16 bits were
    /// rounded to 8. Splits were folders directly in the given folder, named `train`, `test`, `val`, `validation`,
    /// `unlabelled` or `unlabeled`, in small letters. Numbers of arrays were rounded to float32 without a shift.
    package static let version = 2
}

/// A difference from earlier versions in reading the data at hand.
package struct ReadingChange: Equatable, Sendable {
    /// The first version of reading that reads as now.
    package let since: Int
    /// A phrase that says which part of the data differs, and how.
    package let what: String

    package init(since: Int, _ what: String) {
        self.since = since
        self.what = what
    }
}
