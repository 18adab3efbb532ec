/// How files become samples. Checkpoints keep its version, so that a run on data that are read otherwise by now can be told.
package enum Reading {
    /// Counted up by every change that gives some file other numbers, or a split other samples; each is a `ReadingChange`.
    ///
    /// 1: colours of PNG files went through linear light, by gAMA and cHRM, to be blended or made grey, and 16 bits were
    /// rounded to 8; splits were folders in the one folder given, called `train`, `test`, `val`, `validation`, `unlabelled`
    /// or `unlabeled`, in small letters; all numbers of arrays were narrowed to float32 as they are.
    package static let version = 2
}

/// Something about the data at hand that earlier versions read otherwise.
package struct ReadingChange: Equatable, Sendable {
    /// The first version of reading that reads it as now.
    package let since: Int
    /// A phrase: which part of the data, and what is other about it.
    package let what: String

    package init(since: Int, _ what: String) {
        self.since = since
        self.what = what
    }
}
