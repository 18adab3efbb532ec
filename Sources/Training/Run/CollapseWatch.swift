import Foundation

/// Watches for collapse: codes that are all alike, or a loss that stays where codes tell nothing of their image.
struct CollapseWatch {
    /// Below this fraction of its healthy value, a deviation means collapse. Above half of it, codes have recovered.
    private static let least = 0.1
    /// A loss this near to its uninformed value, as a fraction of it but not below this number, tells nothing.
    private static let tolerance = 0.005

    private var isCollapsed = false
    private var epoch: Int?
    /// Whether the loss of each step of the epoch was near its uninformed value.
    private var isUninformed = false

    /// Lines for the user after a step, most often none.
    /// - Parameters:
    ///   - step: counted from 1.
    ///   - epoch: that of the step.
    mutating func lines(step: Int, epoch: Int, _ terms: LossTerms) -> [String] {
        var lines: [String] = []
        if let (value, healthy) = terms.codeDeviation {
            if value < Self.least * healthy && !isCollapsed {
                isCollapsed = true
                lines.append(
                    String(
                        format: "step %ld: codes have collapsed: their deviation is %.2g, less than a tenth of %.2g, "
                            + "the value of evenly spread ones, so images are hardly told apart; a lower rate, a "
                            + "larger batch or stronger augmentation may help", step, value, healthy))
            } else if value > Self.least * healthy * 5 {
                isCollapsed = false
            }
        }
        guard let uninformed = terms.uninformedLoss else { return lines }
        if let before = self.epoch, before != epoch, isUninformed {
            lines.append(
                String(
                    format: "epoch %ld: the loss stayed at %.4g, its value where codes tell nothing of their image; "
                        + "another rate may help", before, uninformed))
        }
        if self.epoch != epoch { (self.epoch, isUninformed) = (epoch, true) }
        let bound = Self.tolerance * max(abs(uninformed), 1)
        isUninformed = isUninformed && abs(terms.loss - uninformed) <= bound
        return lines
    }
}
