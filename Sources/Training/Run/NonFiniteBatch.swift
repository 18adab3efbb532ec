import Collectives
import Datasets
import Foundation
import Tensors

/// What a rank's networks were given in a step that had no finite loss or gradient, kept for a person to look at:
/// `nonfinite/step-N/rank-R.npy` (images: normalised and augmented, [n, H, W, channels]; of further views
/// `rank-R-view-K.npy`) and `rank-R.json`.
struct NonFiniteBatch {
    private struct Description: Encodable {
        let step: Int
        let rank: Int
        /// Numbers in the data set, in the order of the arrays' rows.
        let images: [Int]
        /// Those of them that have a value that isn't finite.
        let broken: [Int]
    }

    let folder: String
    let limit: Int

    /// - Parameter limit: steps of which batches are kept; what comes later isn't.
    init(run: String, limit: Int = 5) {
        folder = run + "/nonfinite"
        self.limit = limit
    }

    /// Where a step's are.
    func folder(_ step: Int) -> String { "\(folder)/step-\(step)" }

    /// Writes what this rank had.
    func write(step: Int, rank: Int, _ batch: some RankBatch) throws {
        let folder = folder(step)
        try makeFolder(folder)
        let samples = batch.samples
        let broken = samples.enumerated().filter { row, _ in
            batch.inputs.contains { input in
                let size = input.count / max(samples.count, 1)
                return !input.elements[row * size..<(row + 1) * size].allSatisfy(\.isFinite)
            }
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        let description = Description(step: step, rank: rank, images: samples, broken: broken.map(\.element))
        try DurableFile.write(try encoder.encode(description), to: "\(folder)/rank-\(rank).json")
        guard !samples.isEmpty else { return }
        for (place, input) in batch.inputs.enumerated() {
            let name = "rank-\(rank)" + (place == 0 ? "" : "-view-\(place)")
            try NumPyArray.write(path: "\(folder)/\(name).npy", shape: input.shape, values: input.array)
        }
    }

    /// Whether there is room for another step's. For the first rank.
    var hasRoom: Bool { ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).count < limit }
}
