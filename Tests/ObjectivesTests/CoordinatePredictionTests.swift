import Autodiff
import Collectives
import Layers
import Objectives
import Tensors
import Testing

@Suite struct CoordinatePredictionTests {
    /// Local vectors that say where they are: the loss starts near that of a guess and falls to nearly nothing, as it
    /// can only where every row and every column has one label.
    @Test func learnsWhereALocationIs() throws {
        let (images, height, width, channels) = (8, 3, 4, 5)
        let device = try Device()
        var settings = ObjectiveSettings()
        (settings.localWeight, settings.coordinatesWeight) = (0, 1)
        var critic = CriticSettings()
        critic.units = 32
        let declare = Declarations()
        let objective = DeepInfoMaxObjective(
            declare, map: (height, width, channels), code: 2, critic: critic, objective: settings, batchNorm: .sync)
        let parameters = ParameterSet(declare, device: device, seed: 1)
        let adam = Adam(OptimiserSettings(), parameters: parameters, device: device)
        var stream = RandomStream(seed: 2, purpose: .synthetic)
        let map = device.tensor([images, height, width, channels])
        for i in 0..<images {
            for row in 0..<height {
                for column in 0..<width {
                    let local = map.base + ((i * height + row) * width + column) * channels
                    for c in 0..<channels { local[c] = 0.1 * stream.normal() }
                    local[0] += Float(row)
                    local[1] += Float(column)
                }
            }
        }
        let code = device.tensor([images, 2], (0..<2 * images).map { _ in stream.normal() })
        var losses: [Double] = []
        for step in 0..<300 {
            let tape = Tape(device: device, ranks: SingleRank(), shares: Shares(counts: [images], rank: 0))
            let terms = try objective(
                tape, map: tape.constant(map), code: tape.constant(code), prior: nil,
                random: RandomStreams(seed: 0, step: step))
            #expect(terms.map(\.name) == ["coordinates"])
            losses.append(Double(terms[0].value.value.base[0]))
            try tape.backward(from: terms[0].value)
            adam.update(parameters, rate: 1e-2)
        }
        #expect(abs(losses[0] - (3.0.logarithm + 4.0.logarithm)) < 1, "\(losses[0])")
        #expect(losses[299] < 0.05, "\(losses[299])")
    }
}
