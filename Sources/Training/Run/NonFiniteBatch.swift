import Collectives
import Datasets
import Foundation
import Tensors

/// The input of a rank's networks in a step without a finite loss or gradient, kept for a person to look at:
/// `nonfinite/step-N/rank-R.npy` (images: normalised and augmented, [n, H, W, channels]; of further views
/// `rank-R-view-K.npy`) and `rank-R.json`.
struct NonFiniteBatch {
    private struct Description: Encodable {
        let step: Int
        let rank: Int
        /// Indices in the data set, in the order of the arrays' rows.
        let images: [Int]
        /// Those of the images that hold a value that isn't finite.
        let broken: [Int]
    }

    let folder: String
    let limit: Int

    /// - Parameter limit: number of steps whose batches are kept; later ones aren't.
    init(run: String, limit: Int = 5) {
        folder = run + "/nonfinite"
        self.limit = limit
    }

    /// The folder of a step's batches.
    func folder(_ step: Int) -> String { "\(folder)/step-\(step)" }

    /// Writes this rank's part of the batch.
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
        for (view, input) in batch.inputs.enumerated() {
            let name = "rank-\(rank)" + (view == 0 ? "" : "-view-\(view)")
            try NumPyArray.write(path: "\(folder)/\(name).npy", shape: input.shape, values: input.array)
        }
    }

    /// Whether there is room for another step's batch. For rank 0.
    var hasRoom: Bool { ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).count < limit }
}
