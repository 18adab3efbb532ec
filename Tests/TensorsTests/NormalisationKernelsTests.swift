import Tensors
import Testing

/// Passes by channel against the definition in Double. 150 rows: more than two blocks of the kernels' sums.
@Suite struct NormalisationKernelsTests {
    private let rows = 150
    private let columns = 5
    private let device: Device
    private let input: [Float]
    private let gradients: [Float]
    private let x: GappedMatrix  // of `input`

    init() throws {
        device = try Device()
        var stream = RandomStream(test: 1)
        input = stream.numbers(rows * columns)
        gradients = stream.numbers(rows * columns)
        x = GappedMatrix(device, rows: rows, columns: columns, values: input)
    }

    private func make(_ values: [Float]) -> GappedMatrix {
        GappedMatrix(device, rows: rows, columns: columns, values: values)
    }

    /// The sum over rows of `term` of an element's index.
    private func sums(_ term: (Int) -> Double) -> [Double] {
        (0..<columns).map { c in (0..<rows).reduce(0) { $0 + term($1 * columns + c) } }
    }

    @Test func moments() {
        let found = x.matrix.channelMoments()
        expectClose(Array(found[..<columns]), sums { Double(input[$0]) }, within: 1e-6)
        expectClose(Array(found[columns...]), sums { Double(input[$0]) * Double(input[$0]) }, within: 1e-6)
        #expect(x.matrix[rows: 7..<7].channelMoments() == Array(repeating: 0, count: 2 * columns))
    }

    @Test(arguments: [false, true])
    func affine(rectified: Bool) {
        let (scale, shift): ([Float], [Float]) = ([1, -2, 0.5, 0, 3], [0, 1, -1, 2, 0.25])
        let output = make(gradients)
        output.matrix.setAffine(of: x.matrix, scale: scale, shift: shift, rectified: rectified)
        let expected = input.enumerated().map { i, value in
            let y = Double(value) * Double(scale[i % columns]) + Double(shift[i % columns])
            return rectified ? max(y, 0) : y
        }
        expectClose(output.values, expected, within: 1e-6)
        #expect(output.gapsAreUntouched)
    }

    @Test(arguments: [false, true])
    func maskAndSum(rectified: Bool) {
        let mean: [Float] = [0.5, -1, 0, 2, 0.1]
        let output = input.enumerated().map { i, value in i % 11 == 0 ? 0 : max(value, 0) }
        let (gradient, y) = (make(gradients), make(output))
        let found = gradient.matrix.maskAndSum(
            output: y.matrix, input: x.matrix, mean: mean, rectified: rectified)
        let masked = zip(gradients, output).map { rectified && $1 == 0 ? 0 : $0 }
        #expect(gradient.values == masked)
        #expect(gradient.gapsAreUntouched)
        expectClose(Array(found[..<columns]), sums { Double(masked[$0]) }, within: 1e-5)
        expectClose(
            Array(found[columns...]), sums { Double(masked[$0]) * (Double(input[$0]) - Double(mean[$0 % columns])) },
            within: 1e-5)
    }

    @Test func combine() {
        let (a, b, c): ([Float], [Float], [Float]) = ([1, -2, 0.5, 0, 3], [0, 1, -1, 2, 0.25], [5, 4, 3, 2, 1])
        let gradient = make(gradients)
        gradient.matrix.setCombination(of: gradient.matrix, a, with: x.matrix, b, c)
        let expected = input.indices.map { i in
            Double(gradients[i]) * Double(a[i % columns]) + Double(input[i]) * Double(b[i % columns])
                + Double(c[i % columns])
        }
        expectClose(gradient.values, expected, within: 1e-6)
        #expect(gradient.gapsAreUntouched)
    }

    @Test func biasAndMask() {
        let bias = device.tensor([columns], [0.5, -1, 0, 1, -3])
        let output = make(input)
        output.matrix.addBiasAndRectify(bias.base)
        #expect(output.values == input.enumerated().map { i, value in max(value + bias.array[i % columns], 0) })
        #expect(output.gapsAreUntouched)
        let gradient = make(gradients)
        gradient.matrix.mask(wherePositive: output.matrix)
        #expect(gradient.values == zip(gradients, output.values).map { $1 > 0 ? $0 : 0 })
    }

    @Test func notANumberStays() {
        // The check for divergence looks at the loss and gradients: a rectifier must not hide it.
        let nan = make(Array(repeating: .nan, count: rows * columns))
        let ones = [Float](repeating: 1, count: columns)
        let output = make(input)
        output.matrix.setAffine(of: nan.matrix, scale: ones, shift: ones, rectified: true)
        #expect(output.values.allSatisfy { $0.isNaN })
        let bias = device.tensor([columns], ones)
        nan.matrix.addBiasAndRectify(bias.base)
        #expect(nan.values.allSatisfy { $0.isNaN })
    }
}

@Suite struct ElementKernelsTests {
    @Test func arithmetic() throws {
        let device = try Device()
        let (x, y) = (device.tensor([3], [1, 2, 3]), device.tensor([3], [10, 20, 30]))
        x.add(y)
        #expect(x.array == [11, 22, 33])
        x.add(y, times: -0.5)
        #expect(x.array == [6, 12, 18])
        x.multiply(by: y)
        #expect(x.array == [60, 240, 540])
        x.scale(by: 2)
        #expect(x.array == [120, 480, 1080])
        #expect(y.array == [10, 20, 30])
    }

    @Test(arguments: [Float.nan, .infinity, -.infinity])
    func findsWhatIsNotFinite(value: Float) throws {
        let tensor = try Device().tensor([100], filledWith: 3e38)
        #expect(tensor.isFinite)
        tensor.base[99] = value
        #expect(!tensor.isFinite)
    }
}
