import Collectives

/// The settings of a run, the same for every method.
package struct RunSettings: SettingsTree {
    package struct CheckpointSettings: SettingsTree {
        /// Steps between checkpoints; 0 writes only the last.
        package var every = 1000
        /// How many of the newest checkpoints are kept, at least 1. The one with the least mean loss stays too.
        package var keep = 2

        package init() {}

        package static let help = [
            "every": "steps between checkpoints; 0 writes only the last",
            "keep": "how many of the newest checkpoints are kept, beside the one with the least mean loss",
        ]
        package static let changeable = ["every", "keep"]
    }

    /// Samples of the global batch, which the ranks divide.
    package var batch = 128
    /// Most samples that pass a network at a time on a rank, in two-phase accumulation; 0 for all at once.
    package var microBatch = 0
    /// Steps of the whole run.
    package var steps = 10_000
    package var seed: UInt64 = 0
    /// Threads of each rank's kernels; 0 takes OMP_NUM_THREADS, or 1 where that isn't set.
    package var threads = 0
    /// Of the operands of products and convolutions in the networks and losses.
    package var precision: Precision = .float32
    /// Of gradients on their way between nodes.
    package var exchange: Precision = .float32
    /// Seconds that a collective call may take before the job ends with a report of which ranks wait; 0 to wait for
    /// ever.
    package var stallTimeout = 300
    package var checkpoint = CheckpointSettings()

    package init() {}

    package static let parts: [String: any SettingsTree.Type] = ["checkpoint": CheckpointSettings.self]
    package static let help = [
        "batch": "samples of the global batch, which the ranks divide",
        "microBatch": "samples that pass a network at a time on a rank, to save memory; 0 for all at once",
        "steps": "steps of the whole run; 0 writes the untrained checkpoint",
        "seed": "seed of all random numbers",
        "threads": "threads of each rank; 0 takes OMP_NUM_THREADS, or 1",
        "precision":
            "\(Precision.expectation): products and convolutions round their operands to it; sums, parameters, "
            + "statistics and losses stay float32",
        "exchange":
            "\(Precision.expectation): gradients travel between nodes in it, and are summed in float32; with bfloat16 "
            + "results depend on the number of nodes",
        "stallTimeout": "seconds that ranks wait for another rank before the job ends; 0 to wait for ever",
    ]
    package static let changeable = ["steps", "threads", "stallTimeout", "microBatch", "precision", "exchange"]
    package static let expectations = ["seed": "a whole number from 0 to \(UInt64.max)"]

    /// Throws `InputError` where a value is out of its range.
    func check() throws {
        try require((2...1 << 24).contains(batch), "batch", batch, "2 to \(1 << 24) images")
        try require((0...1 << 24).contains(microBatch), "microBatch", microBatch, "0 to \(1 << 24) images")
        try require((0...1 << 40).contains(steps), "steps", steps, "0 to \(1 << 40)")
        try require((0...1024).contains(threads), "threads", threads, "0 to 1024")
        try require((0...1 << 30).contains(stallTimeout), "stallTimeout", stallTimeout, "0 to \(1 << 30) seconds")
        try require(checkpoint.every >= 0, "checkpoint.every", checkpoint.every, "0 or more steps")
        try require((1...1000).contains(checkpoint.keep), "checkpoint.keep", checkpoint.keep, "1 to 1000")
    }

    /// Threads of each rank's kernels, 1 to 1024.
    /// - Parameter asked: 0 for the number in OMP_NUM_THREADS.
    /// - Throws: `InputError` where OMP_NUM_THREADS is not a number of threads.
    package static func threads(asked: Int, environment: [String: String]) throws -> Int {
        guard asked == 0, let text = environment["OMP_NUM_THREADS"], !text.isEmpty else { return max(asked, 1) }
        // OpenMP allows a number for each level of nested threads. Here there is one level.
        let first = text.split(separator: ",", omittingEmptySubsequences: false)[0]
        guard let threads = Int(first.trimmingCharacters(in: .whitespaces)), 1...1024 ~= threads else {
            throw InputError("OMP_NUM_THREADS is \"\(text)\": it must be a whole number from 1 to 1024")
        }
        return threads
    }
}
