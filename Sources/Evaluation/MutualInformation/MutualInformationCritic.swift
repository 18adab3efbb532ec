import Autodiff
import Collectives
import Layers
import Objectives
import Tensors

/// Scores pairs of rows: high for those that belong together. All scores start at the estimator's starting score. Those
/// of the separable critic start at the Gaussian's score added to it.
protocol MutualInformationCritic {
    /// Weights of the network, which weight decay shrinks.
    var maps: [Parameter] { get }
    /// The training loss, with its moving average.
    var training: ContrastiveLoss { get set }

    /// This rank's part of the estimator's loss of paired rows. Collective, in both directions.
    func loss(_ tape: Tape, _ batch: PairedBatch) throws -> Variable

    /// A function that writes the scores of some own rows x with all ranks' rows y, [rows, N]. Making the function is
    /// collective.
    func scores(_ tape: Tape, _ batch: PairedBatch) throws -> (_ rows: Range<Int>, _ tile: Matrix) throws -> Void
}

/// Encodes both sides separately: u(x, y) = <e(x), h(y)> + a(x) + b(y), plus the `GaussianScore` where there is one.
///
/// The best critic is ln p(x,y)/(p(x)p(y)), plus terms that the estimator can't see. It has terms of x alone and of y
/// alone: a and b, so that the inner product needn't make them. e and h are a network plus a linear map, so that linear
/// dependence is found in the first steps. h, a and b start at 0.
struct SeparablePairCritic: MutualInformationCritic {
    private let left, right: Tower
    /// Weights of cosines and sines of each remainder's waves, [2, waves]; nil where there are none.
    private let waveWeights: Parameter?
    var training: ContrastiveLoss

    /// - Parameters:
    ///   - x, y: number of columns of each side.
    ///   - units: number of units of each of the two hidden layers.
    ///   - embedding: width of e and h.
    ///   - waves: number of waves of all remainders.
    init(
        _ declare: Declarations, x: Int, y: Int, units: Int, embedding: Int, waves: Int,
        estimator: MutualInformationEstimator
    ) {
        waveWeights = waves > 0 ? declare.parameter("waves.weight", [2, waves], .constant(0)) : nil
        training = estimator.trainingLoss
        // A constant, or a function of x, that the loss can't see would only collect Adam's rounding errors.
        left = Tower(
            declare.within("x"), inputs: x, units: units, embedding: embedding, startsAtZero: false,
            hasScore: estimator.seesFunctionsOfX, constant: nil)
        right = Tower(
            declare.within("y"), inputs: y, units: units, embedding: embedding, startsAtZero: true, hasScore: true,
            constant: estimator.seesConstants ? estimator.startingScore : nil)
    }

    var maps: [Parameter] { left.maps + right.maps }

    /// The factors of the scores: pairs of x's and y's, [n, Wₖ] each, and one more of y's, [n, 1], to add.
    private func factors(_ tape: Tape, _ batch: PairedBatch) throws -> (x: [Variable], y: [Variable]) {
        let (left, right) = (try left(tape, tape.constant(batch.x)), try right(tape, tape.constant(batch.y)))
        var factors = (x: [left.embedding], y: [right.embedding])
        if let score = left.score {
            factors.x.append(score)
            factors.y.append(tape.constant(tape.device.tensor([batch.y.shape[0], 1], filledWith: 1)))
        }
        if let gaussian = batch.gaussian {
            factors.x.append(tape.constant(gaussian.left))
            factors.y.append(tape.constant(gaussian.right))
            if let waves = gaussian.waves, let waveWeights {
                factors.x.append(tape.constant(waves.left))
                factors.y.append(tape.turned(waves.right, by: tape.use(waveWeights)))
            }
        }
        guard let score = right.score else { return factors }
        factors.y.append(batch.gaussian.map { tape.add(score, tape.constant($0.offset)) } ?? score)
        return factors
    }

    func loss(_ tape: Tape, _ batch: PairedBatch) throws -> Variable {
        let factors = try factors(tape, batch)
        return try tape.contrastiveLoss(
            training, factors: factors.x.map { ScoreFactor($0) }, globals: factors.y, hasOffset: true, locations: 1)
    }

    func scores(_ tape: Tape, _ batch: PairedBatch) throws -> (_ rows: Range<Int>, _ tile: Matrix) throws -> Void {
        let factors = try factors(tape, batch)
        let one = tape.constant(tape.device.tensor([batch.x.shape[0], 1], filledWith: 1))  // is multiplied by b(y)
        let left = tape.concatenateColumns(factors.x + [one]).value
        let right = try training.gather(
            tape.concatenateColumns(factors.y).value, shares: tape.shares, device: tape.device, ranks: tape.ranks)
        return { rows, tile in try multiply(left.matrix[rows: rows], right.matrix.transposed, into: tile) }
    }
}

/// The network of one side: two hidden layers, then an embedding and a score of this side alone.
private struct Tower {
    private let first, second: Linear
    private let last, shortcut: Parameter
    private let score, constant: Parameter?

    /// - Parameters:
    ///   - startsAtZero: whether the embedding starts at 0.
    ///   - constant: the start of the score's constant, where it has one.
    init(
        _ declare: Declarations, inputs: Int, units: Int, embedding: Int, startsAtZero: Bool, hasScore: Bool,
        constant: Float?
    ) {
        first = Linear(declare, "first", inputs: inputs, outputs: units)
        second = Linear(declare, "second", inputs: units, outputs: units)
        last = declare.parameter(
            "last.weight", [embedding, units], startsAtZero ? .constant(0) : .uniform(fanIn: units))
        shortcut = declare.parameter(
            "shortcut.weight", [embedding, inputs], startsAtZero ? .constant(0) : .uniform(fanIn: inputs))
        score = hasScore ? declare.parameter("score.weight", [1, units], .constant(0)) : nil
        self.constant = constant.map { declare.parameter("score.bias", [1], .constant($0)) }
    }

    var maps: [Parameter] { [first.weight, second.weight, last] + (score.map { [$0] } ?? []) }

    func callAsFunction(_ tape: Tape, _ x: Variable) throws -> (embedding: Variable, score: Variable?) {
        let hidden = try tape.rectify(second(tape, tape.rectify(first(tape, x))))  // [n, units]
        let embedding = tape.add(
            try tape.linear(hidden, weight: tape.use(last)), try tape.linear(x, weight: tape.use(shortcut)))
        let score = try score.map { try tape.linear(hidden, weight: tape.use($0), bias: constant.map(tape.use)) }
        return (embedding, score)
    }
}

extension Tape {
    /// The factors that, multiplied by cosines and sines of angles α, give Σ_k p_k cos(β_k - α_k) + q_k sin(β_k - α_k).
    /// - Parameters:
    ///   - waves: cosines, then sines, of β, [n, 2K].
    ///   - weights: p and q over the gain, [2, K].
    fileprivate func turned(_ waves: Tensor, by weights: Variable) -> Variable {
        let gain: Float = 8  // steps of Adam are small compared with the edge of a density
        let (rows, count) = (waves.shape[0], waves.shape[1] / 2)
        let result = device.tensor(waves.shape)
        let (p, q) = (weights.value.base, weights.value.base + count)
        for row in 0..<rows {
            let (cosines, target) = (waves.matrix.row(row), result.matrix.row(row))
            let sines = cosines + count
            for k in 0..<count {
                target[k] = gain * (p[k] * cosines[k] + q[k] * sines[k])
                target[count + k] = gain * (p[k] * sines[k] - q[k] * cosines[k])
            }
        }
        return record(result, from: [weights]) { [unowned self] upstream in
            let gradient = device.tensor(weights.shape, filledWith: 0)
            let (p, q) = (gradient.base, gradient.base + count)
            for row in 0..<rows {
                let (cosines, above) = (waves.matrix.row(row), upstream.matrix.row(row))
                let sines = cosines + count
                for k in 0..<count {
                    p[k] += gain * (above[k] * cosines[k] + above[count + k] * sines[k])
                    q[k] += gain * (above[k] * sines[k] - above[count + k] * cosines[k])
                }
            }
            pass(gradient, to: weights)
        }
    }
}

/// A network of two hidden layers over every pair.
struct ConcatenatedPairCritic: MutualInformationCritic {
    private let firstX, firstY: Linear
    private let layers: ConcatenatedLayers<Parameter>
    var training: ContrastiveLoss

    /// - Parameters: as those of `SeparablePairCritic`.
    init(_ declare: Declarations, x: Int, y: Int, units: Int, estimator: MutualInformationEstimator) {
        training = estimator.trainingLoss
        firstX = Linear(declare, "x", inputs: x, outputs: units)
        firstY = Linear(declare, "y", inputs: y, outputs: units, bias: false)
        layers = ConcatenatedLayers(
            second: declare.parameter("second.weight", [units, units], .uniform(fanIn: units)),
            secondBias: declare.parameter("second.bias", [units], .uniform(fanIn: units)),
            last: declare.parameter("last.weight", [1, units], .constant(0)),
            lastBias: estimator.seesConstants
                ? declare.parameter("last.bias", [1], .constant(estimator.startingScore)) : nil)
    }

    var maps: [Parameter] { [firstX.weight, firstY.weight, layers.second, layers.last] }

    func loss(_ tape: Tape, _ batch: PairedBatch) throws -> Variable {
        try tape.concatenatedLoss(
            training, locals: firstX(tape, tape.constant(batch.x)), globals: firstY(tape, tape.constant(batch.y)),
            layers: layers.map(tape.use), locations: 1)
    }

    func scores(_ tape: Tape, _ batch: PairedBatch) throws -> (_ rows: Range<Int>, _ tile: Matrix) throws -> Void {
        let right = try training.gather(
            firstY(tape, tape.constant(batch.y)).value, shares: tape.shares, device: tape.device, ranks: tape.ranks)
        let scores = ConcatenatedScores(
            locals: try firstX(tape, tape.constant(batch.x)).value, globals: right, layers: layers.map(\.value),
            device: tape.device)
        return { try scores.write($0, 0..<right.shape[0], into: $1) }
    }
}
