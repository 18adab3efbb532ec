import Collectives
import Datasets
import Foundation
import Tensors

/// A rank's images of a step that had no finite loss or gradient, kept for a person to look at:
/// `nonfinite/step-N/rank-R.npy` (normalised and augmented, [n, H, W, channels]) and `rank-R.json`.
struct NonFiniteBatch {
    private struct Description: Encodable {
        let step: Int
        let rank: Int
        /// Of the data set, in the order of the array's rows.
        let images: [Int]
        /// Those of them that have a pixel that isn't finite.
        let broken: [Int]
    }

    private let folder: String
    private let limit: Int

    /// - Parameter limit: steps of which batches are kept; what comes later isn't.
    init(run: String, limit: Int = 5) {
        folder = run + "/nonfinite"
        self.limit = limit
    }

    /// Writes what this rank had. Not collective, but all ranks must be told the same of `isKept`.
    func write(step: Int, rank: Int, images: Tensor, indices: [Int]) throws {
        let folder = "\(folder)/step-\(step)"
        try makeFolder(folder)
        let size = images.count / max(indices.count, 1)
        let broken = indices.enumerated().filter { row, _ in
            !images.elements[row * size..<(row + 1) * size].allSatisfy(\.isFinite)
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        let description = Description(step: step, rank: rank, images: indices, broken: broken.map(\.element))
        try DurableFile.write(try encoder.encode(description), to: "\(folder)/rank-\(rank).json")
        guard !indices.isEmpty else { return }
        try NumPyArray.write(path: "\(folder)/rank-\(rank).npy", shape: images.shape, values: images.array)
    }

    /// Whether there is room for another step's. For the first rank.
    var hasRoom: Bool { ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).count < limit }
}
