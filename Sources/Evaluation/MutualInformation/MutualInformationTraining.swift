import Autodiff
import Collectives
import Layers
import Tensors

/// The outcome of a critic's training.
struct CriticTraining {
    /// Number of updates of the state that was kept; 0 for the start.
    var step = 0
    /// Number of updates made.
    var steps = 0
    /// How far the last look at validation rows was below the best one, in nats; 0 unless at the lowest rate.
    var fall = 0.0
    /// The bound of the last state on training rows. It is far below 0 only for a critic that has diverged.
    var lastTrainingNats = 0.0
    /// Whether the last steps still gained much on validation rows.
    var isStillRising = false
    /// Number of steps undone because gradients or scores weren't finite.
    var failures = 0
}

/// Trains one critic and keeps its best state on the validation rows. Every method is collective.
final class MutualInformationTraining {
    private let settings: MutualInformation
    private var rows: PairedRows
    private let seed: UInt64
    private let ranks: any Ranks
    private let device: Device
    private var critic: any MutualInformationCritic
    private let parameters: ParameterSet
    /// Running mean of the parameters (Polyak & Juditsky 1992). It is the state that is evaluated, because it is
    /// steadier than the parameters.
    private let average: Tensor
    /// The best average so far.
    private let best: Tensor
    /// Running mean of the gradient's norm; 0 before the first step.
    private var usualNorm = 0.0
    /// Factor of the rate, lowered at each failure and where validation rows stop improving.
    private var rateFactor = 1.0

    /// Fraction of the running mean that a step keeps.
    private static let kept: Float = 0.99
    /// Steps between looks at the validation rows.
    private static let interval = 50
    /// Fewest steps without improvement after which the rate is lowered; it is a tenth of all steps if that is more.
    private static let leastPatience = 200
    /// The divisor of the rate then, and how many times it is divided before training ends.
    private static let lowering = 3.0, lowerings = 3
    /// A gradient is clipped to this many times its usual norm.
    private static let largestNorm = 10.0
    /// Training that gains more than this fraction in its last quarter, and more than 0.02 nats, should continue.
    private static let lateGain = 0.03
    /// Largest factor of the scores.
    private static let largestScale = 2.0

    init(_ settings: MutualInformation, rows: PairedRows, seed: UInt64, ranks: any Ranks, device: Device) {
        self.settings = settings
        self.rows = rows
        self.seed = seed
        self.ranks = ranks
        self.device = device
        let declarations = Declarations()
        let (x, y) = (rows.xColumns.width, rows.yColumns.width)
        critic =
            switch settings.critic {
            case .separable:
                SeparablePairCritic(
                    declarations, x: x, y: y, units: settings.units, embedding: settings.embedding,
                    waves: GaussianScore.waves * (rows.gaussian?.waveVariables ?? 0), estimator: settings.estimator)
            case .concatenated:
                ConcatenatedPairCritic(declarations, x: x, y: y, units: settings.units, estimator: settings.estimator)
            }
        parameters = ParameterSet(declarations, device: device, seed: seed)
        average = device.tensor([parameters.count])
        average.copy(from: parameters.values)
        best = device.tensor([parameters.count])
        best.copy(from: parameters.values)
    }

    /// Trains and leaves the best state. Where a gradient or a bound isn't finite, it returns to the best state so far
    /// and halves the rate. Where validation rows haven't improved for a while, it does so with a third of the rate,
    /// because they may improve again at a lower rate.
    func run(progress: (String) -> Void) throws -> CriticTraining {
        // Before any update the score is the Gaussian's alone.
        if rows.gaussian != nil { rows.scaleGaussian(by: min(1, try bestScale())) }
        var adamSettings = OptimiserSettings()
        adamSettings.rate = settings.rate
        adamSettings.schedule = .cosine
        adamSettings.warmupSteps = 0
        let adam = Adam(adamSettings, parameters: parameters, device: device)
        let looked = rows.validation.prefix(2 * settings.candidates)
        let batch = min(settings.batch, rows.training.count)
        let stepsPerEpoch = rows.training.count / batch
        var order: [Int32] = []
        var outcome = CriticTraining()
        // The start may stay the best, for Gaussian rows or independent ones.
        var bestNats = try bound(looked, scale: 1, as: settings.estimator.criterion, by: best).nats
        var earlier = 0.0  // after three quarters of the steps
        let patience = max(settings.steps / 10, Self.leastPatience)
        var (lastGain, lowered) = (0, 0)
        for step in 0..<settings.steps {
            let (epoch, index) = step.quotientAndRemainder(dividingBy: stepsPerEpoch)
            if index == 0 {
                var stream = RandomStream(seed: seed, purpose: .permutation, step: epoch)
                order = stream.permutation(of: rows.training.count)
            }
            let drawn = order[index * batch..<(index + 1) * batch].lazy.map { [rows] in
                rows.training[rows.training.startIndex + Int($0)]
            }
            if try !update(drawn, adam: adam, rate: rateFactor * adamSettings.rate(at: step, of: settings.steps)) {
                outcome.failures += 1
                goBack(dividingRateBy: 2)
            }
            outcome.steps = step + 1
            let kept = min(Self.kept, Float(step + 1) / Float(step + 10))  // so that the start is forgotten sooner
            average.scale(by: kept)
            average.add(parameters.values, times: 1 - kept)

            guard (step + 1) % Self.interval == 0 || step + 1 == settings.steps else { continue }
            let nats = try bound(looked, scale: 1, as: settings.estimator.criterion, by: average).nats
            if nats > bestNats {
                (bestNats, outcome.step, lastGain) = (nats, step + 1, step + 1)
                best.copy(from: average)
            } else if !nats.isFinite {
                outcome.failures += 1
                goBack(dividingRateBy: 2)
            }
            if lowered == Self.lowerings { outcome.fall = bestNats - nats }
            progress("step \(step + 1) of \(settings.steps): \(nats) nats on validation rows")
            if step + 1 - lastGain >= patience {
                guard lowered < Self.lowerings else { break }
                (lastGain, lowered) = (step + 1, lowered + 1)
                goBack(dividingRateBy: Self.lowering)
            }
            if step + 1 <= settings.steps * 3 / 4, nats.isFinite { earlier = max(0, nats) }
        }
        let trained = rows.training.prefix(looked.count)
        outcome.lastTrainingNats =
            try bound(trained, scale: 1, as: settings.estimator.criterion, by: average).nats
        outcome.isStillRising =
            outcome.step == settings.steps && bestNats - earlier > max(0.02, Self.lateGain * bestNats)
        return outcome
    }

    private func goBack(dividingRateBy divisor: Double) {
        parameters.values.copy(from: best)
        average.copy(from: best)
        critic.training = settings.estimator.trainingLoss  // its moving average may have diverged too
        rateFactor /= divisor
    }

    /// Makes an update. Returns false, without an update, where the gradient isn't finite.
    private func update(_ drawn: some Sequence<Int32>, adam: Adam, rate: Double) throws -> Bool {
        let batch = try rows.draw(drawn, device: device)
        let tape = Tape(device: device, ranks: ranks, shares: batch.shares)
        try tape.backward(from: try critic.loss(tape, batch))
        try parameters.sumGradients(over: ranks)  // the same bits on every rank, so all that follows is too
        // A sum and a sum of squares for each of 16 columns; parameters come in multiples of 16.
        let moments = parameters.gradients.reshaped([parameters.count / 16, 16]).matrix.channelMoments()
        let norm = moments[16...].reduce(0, +).squareRoot()
        guard norm.isFinite else { return false }
        let usual = usualNorm > 0 ? usualNorm : norm
        let limited = min(norm, Self.largestNorm * usual)
        if limited < norm { parameters.gradients.scale(by: Float(limited / norm)) }
        usualNorm = 0.9 * usual + 0.1 * limited
        for map in critic.maps { map.value.scale(by: Float(1 - rate * settings.decay)) }
        adam.update(parameters, rate: rate)
        return true
    }

    /// The factor of scores, in 0...2, with which the bound is best on validation rows. A critic that has memorised its
    /// rows has too large scores. Where it knows nothing about other rows, the factor is 0 and so is the bound.
    func bestScale() throws -> Double {
        let looked = rows.validation.prefix(2 * settings.candidates)
        func nats(_ scale: Double) throws -> Double {
            try bound(looked, scale: scale, as: settings.estimator.criterion, by: best).nats
        }
        // Golden section: the bounds are concave in the scale.
        let ratio = (5.0.squareRoot() - 1) / 2
        var (low, high) = (0.0, Self.largestScale)
        var (left, right) = (high - ratio * (high - low), low + ratio * (high - low))
        var (leftNats, rightNats) = (try nats(left), try nats(right))
        for _ in 0..<12 {
            if leftNats >= rightNats {
                (high, right, rightNats) = (right, left, leftNats)
                left = high - ratio * (high - low)
                leftNats = try nats(left)
            } else {
                (low, left, leftNats) = (left, right, rightNats)
                right = low + ratio * (high - low)
                rightNats = try nats(right)
            }
        }
        return low == 0 ? 0 : (low + high) / 2
    }

    /// The bound of some rows by the best state, its scores scaled.
    /// - Parameter estimator: another estimator than that of the settings.
    func bound(
        _ indices: ArraySlice<Int32>, scale: Double, as estimator: MutualInformationEstimator? = nil
    ) throws -> MutualInformationBound {
        try bound(indices, scale: scale, as: estimator ?? settings.estimator, by: best)
    }

    private func bound(
        _ indices: ArraySlice<Int32>, scale: Double, as estimator: MutualInformationEstimator, by values: Tensor
    ) throws -> MutualInformationBound {
        let current = device.tensor([parameters.count])
        current.copy(from: parameters.values)
        parameters.values.copy(from: values)
        defer { parameters.values.copy(from: current) }
        var statistics = BoundStatistics(estimator, scale: scale)
        let blocks = (indices.count + settings.candidates - 1) / settings.candidates  // of nearly equal size
        for block in 0..<blocks {
            let start = indices.startIndex + block * indices.count / blocks
            let end = indices.startIndex + (block + 1) * indices.count / blocks
            let batch = try rows.draw(indices[start..<end], device: device)
            let tape = Tape(device: device, ranks: ranks, shares: batch.shares, mode: .evaluation)
            let write = try critic.scores(tape, batch)
            try statistics.add(shares: batch.shares, ranks: ranks, device: device, write: write)
        }
        return try statistics.bound(ranks: ranks)
    }
}
