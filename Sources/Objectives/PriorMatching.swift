import Autodiff
import Layers
import Tensors

/// Matches the codes' distribution to a prior with a discriminator (Hjelm et al. 2019, equation 7; Makhzani et al.
/// 2016). The discriminator D learns to separate samples of the prior from codes. The encoder learns codes that D takes
/// for samples.
package struct PriorMatching {
    private let settings: PriorSettings
    private let width: Int
    private let first, second, last: Linear

    /// - Parameters:
    ///   - code: K, width of the codes.
    ///   - hidden: units of the discriminator's layers; the published ones by default.
    package init(
        _ declare: Declarations, code: Int, hidden: (first: Int, second: Int) = (1000, 200), settings: PriorSettings
    ) {
        self.settings = settings
        width = code
        let declare = declare.within("discriminator")
        first = Linear(declare, "first", inputs: code, outputs: hidden.first)
        second = Linear(declare, "second", inputs: hidden.first, outputs: hidden.second)
        last = Linear(declare, "last", inputs: hidden.second, outputs: 1)
    }

    /// This rank's parts of three losses, scalars. The encoder's loss has no gradient by the discriminator. The
    /// discriminator's has none by the encoder.
    package struct Losses {
        /// -E[ln σ(D(code))], which doesn't saturate.
        package let encoder: Variable
        /// -E[ln σ(D(prior))] - E[ln(1 - σ(D(code)))]
        package let discriminator: Variable
        /// E|∇D(prior)|² + E|∇D(code)|², zero-centred (Mescheder et al. 2018; Roth et al. 2017).
        package let penalty: Variable
    }

    /// Collective, in both directions.
    /// - Parameters:
    ///   - code: [n, K]
    ///   - random: random streams of the prior's samples, which depend on each sample's index in the global batch too.
    package func callAsFunction(_ tape: Tape, code: Variable, random: RandomStreams) throws -> Losses {
        let x = settings.distribution == .uniform ? tape.sigmoid(code) : code
        let real = try layers(tape, tape.constant(samples(tape, random)))
        let fake = try layers(tape, tape.constant(x.value))
        return Losses(
            encoder: try tape.generatorLoss(.gan, scores: try tape.frozen { try layers(tape, x).score }),
            discriminator: try tape.twoSampleLoss(.gan, positives: real.score, negatives: fake.score),
            penalty: tape.weightedSum([
                (try squaredGradient(tape, real), 1), (try squaredGradient(tape, fake), 1),
            ]))
    }

    /// One sample of the prior for each image of this rank, [n, K].
    func samples(_ tape: Tape, _ random: RandomStreams) -> Tensor {
        let result = tape.device.tensor([tape.shares.own, width])
        for i in 0..<tape.shares.own {
            var stream = random(.prior, tape.shares.first + i)
            for c in 0..<width {
                result.base[i * width + c] = settings.distribution == .uniform ? stream.uniform() : stream.normal()
            }
        }
        return result
    }

    private struct Activations {
        let first: Variable, second: Variable  // [n, U], after the rectifiers
        let score: Variable  // [n, 1]
    }

    private func layers(_ tape: Tape, _ x: Variable) throws -> Activations {
        let h1 = tape.rectify(try first(tape, x))
        let h2 = tape.rectify(try second(tape, h1))
        return Activations(first: h1, second: h2, score: try last(tape, h2))
    }

    /// E|∇D|² at the inputs of these activations. The gradient by the input is itself a network of products, ∇D =
    /// ((w₃∘m₂)W₂∘m₁)W₁ with masks m of the rectifiers, so the tape can differentiate it again. The masks count as
    /// constants, which is right except on a set of measure 0.
    private func squaredGradient(_ tape: Tape, _ at: Activations) throws -> Variable {
        let ones = tape.constant(tape.device.tensor([at.score.shape[0], 1], filledWith: 1))
        let bySecond = tape.masked(try tape.product(ones, tape.use(last.weight)), wherePositive: at.second.value)
        let byFirst = tape.masked(try tape.product(bySecond, tape.use(second.weight)), wherePositive: at.first.value)
        return tape.meanSquaredNorm(try tape.product(byFirst, tape.use(first.weight)))
    }
}
