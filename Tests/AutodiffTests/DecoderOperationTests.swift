import Autodiff
import Collectives
import Foundation
import Tensors
import Testing

@Suite struct DecoderOperationTests {
    @Test func transposedConvolutionSpreadsAPixelAsItsKernel() throws {
        let device = try Device()
        let tape = Tape(device: device)
        // One pixel of two channels, 1 and 10; 4x4 kernels 0...15 and 100...115; padding cuts the rim off.
        let x = tape.constant(device.tensor([1, 1, 1, 2], [1, 10]))
        let weights = (0..<16).map { Float($0) } + (0..<16).map { 100 + Float($0) }
        let w = tape.constant(device.tensor([2, 1, 4, 4], weights))
        let y = try tape.transposedConvolution(x, weight: w, stride: 2, padding: 1)
        #expect(y.shape == [1, 2, 2, 1])
        #expect(y.value.array == [5, 6, 9, 10].map { 11 * $0 + 1000 })
    }

    @Test func transposedConvolutionIsTheAdjointOfConvolution() throws {
        // <convolution of y, x> = <y, transposed convolution of x>
        let device = try Device()
        let tape = Tape(device: device)
        let w = tape.constant(device.tensor([3, 2, 4, 4], normals(96, 1)))
        let x = tape.constant(device.tensor([2, 3, 4, 3], normals(72, 2)))
        let large = try tape.transposedConvolution(x, weight: w, stride: 2, padding: 1)
        #expect(large.shape == [2, 6, 8, 2])
        let y = tape.constant(device.tensor([2, 6, 8, 2], normals(192, 3)))
        let small = try tape.convolution(y, weight: w, stride: 2, padding: 1)
        #expect(small.shape == x.shape)
        let (left, right) = (project(small.value.array, x.value.array), project(y.value.array, large.value.array))
        #expect(abs(left - right) < 1e-4 * abs(left) + 1e-4, "\(left), \(right)")
    }

    @Test func hyperbolicTangentIsThatOfTheLibrary() throws {
        let device = try Device()
        let x: [Float] = [-200, -20, -3, -0.5, -1e-4, 0, 1e-7, 0.01, 0.7, 2, 9, 50, 1e30]
        let y = device.tensor([x.count], x)
        y.replaceByHyperbolicTangent()
        for (value, argument) in zip(y.array, x) {
            #expect(abs(Double(value) - tanh(Double(argument))) < 2e-7, "tanh \(argument) is \(value)")
        }
    }

    @Test func meanSquaredErrorIsAMeanOverTheGlobalBatch() throws {
        // (1 + 4 + 9 + 0)/4 = 3.5, whoever holds the rows; the gradient is 2·difference/4
        for worldSize in 1...3 {
            let results = try onRanks(worldSize) { ranks, device in
                let counts = [[2], [1, 1], [0, 1, 1]][worldSize - 1]
                let shares = Shares(counts: counts, rank: ranks.rank)
                let own = shares.first * 2..<(shares.first + shares.own) * 2
                let tape = Tape(device: device, ranks: ranks, shares: shares)
                let gradient = device.tensor([shares.own, 2])
                let x = tape.parameter(
                    device.tensor([shares.own, 2], Array([1, 2, 3, 4][own])), gradient: gradient)
                let loss = tape.meanSquaredError(x, target: device.tensor([shares.own, 2], Array([0, 4, 0, 4][own])))
                try tape.backward(from: loss)
                return (loss.value.array[0], gradient.array)
            }
            #expect(abs(results.reduce(0) { $0 + $1.0 } - 3.5) < 1e-6)
            #expect(results.flatMap(\.1) == [0.5, -1, 1.5, 0])
        }
    }
}
