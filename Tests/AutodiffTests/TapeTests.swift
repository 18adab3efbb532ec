import Autodiff
import Collectives
import Tensors
import Testing

@Suite struct TapeTests {
    private let device: Device

    init() throws { device = try Device() }

    @Test func aParameterUsedTwiceGetsTheSum() throws {
        let value = device.tensor([2, 2], [1, 2, 3, 4])
        let gradient = device.tensor([2, 2], filledWith: .nan)
        let tape = Tape(device: device)
        let a = tape.constant(device.tensor([1, 2], [1, 10]))
        let b = tape.constant(device.tensor([1, 2], [5, 7]))
        // The same parameter by two calls, as a layer that is called twice does.
        let first = try tape.product(a, tape.parameter(value, gradient: gradient))
        let second = try tape.product(b, tape.parameter(value, gradient: gradient))
        #expect(first.value.array == [31, 42])
        try tape.backward(from: tape.projection([(first, [1, 2]), (second, [3, 4])]))
        #expect(gradient.array == [16, 22, 31, 48])  // aᵀ·[1 2] + bᵀ·[3 4]
    }

    @Test func whatTheLossDoesNotReachGetsZero() throws {
        let (used, unused) = (device.tensor([2], [1, 2]), device.tensor([2], [1, 2]))
        let gradient = device.tensor([2], filledWith: .nan)
        let otherGradient = device.tensor([2], filledWith: .nan)
        let tape = Tape(device: device)
        _ = tape.parameter(unused, gradient: otherGradient)
        let x = tape.parameter(used, gradient: gradient)
        try tape.backward(from: tape.projection([(x, [3, -1])]))
        #expect(gradient.array == [3, -1])
        #expect(otherGradient.array == [0, 0])
    }

    @Test func aLossOfNoParameterGivesZero() throws {
        let gradient = device.tensor([2], filledWith: .nan)
        let tape = Tape(device: device)
        _ = tape.parameter(device.tensor([2], [1, 2]), gradient: gradient)
        try tape.backward(from: tape.projection([(tape.constant(device.tensor([1], [1])), [1])]))
        #expect(gradient.array == [0, 0])
    }

    @Test func constantsGetNone() throws {
        let tape = Tape(device: device)
        let constant = tape.constant(device.tensor([2], [1, 2]))
        let parameter = tape.parameter(device.tensor([2], [3, 4]), gradient: device.tensor([2]))
        let sum = tape.add(constant, constant)
        #expect(!tape.needsGradient(constant) && !tape.needsGradient(sum))
        #expect(tape.needsGradient(parameter) && tape.needsGradient(tape.add(sum, parameter)))
        tape.pass(to: constant) { _, _ in Issue.record("a gradient was asked for") }
        tape.pass(to: sum) { _, _ in Issue.record("a gradient was asked for") }
    }

    @Test func backwardFreesWhatTheTapeKept() throws {
        let count = 1 << 14
        let value = device.tensor([count], filledWith: 1)
        let gradient = device.tensor([count])
        let bytes = 4 * count
        let before = device.memory.bytesInUse
        let tape = Tape(device: device)
        func forward() -> Variable {
            var y = tape.parameter(value, gradient: gradient)
            for _ in 0..<8 { y = tape.add(y, y) }
            return tape.projection([(y, Array(repeating: 1, count: count))])
        }
        let loss = forward()
        #expect(device.memory.bytesInUse >= before + 8 * bytes)
        device.memory.resetPeak()
        let atLoss = device.memory.peakBytes
        try tape.backward(from: loss)
        #expect(gradient.array == Array(repeating: 256, count: count))
        #expect(device.memory.bytesInUse <= before + 1024)
        // One gradient comes in and one goes out, while values are freed.
        #expect(device.memory.peakBytes <= atLoss + 2 * bytes + 1024)
    }

    @Test func evaluationKeepsNothing() throws {
        let count = 1 << 14
        let value = device.tensor([count], filledWith: 1)
        let gradient = device.tensor([count])
        let before = device.memory.bytesInUse
        let tape = Tape(device: device, mode: .evaluation)
        var y = tape.parameter(value, gradient: gradient)
        for _ in 0..<8 { y = tape.add(y, y) }
        #expect(!tape.needsGradient(y))
        #expect(device.memory.bytesInUse == before + 4 * count)
        #expect(y.value.array == Array(repeating: 256, count: count))
    }

    @Test func sharesOfABatch() {
        let shares = Shares(counts: [3, 0, 4], rank: 2)
        #expect(shares.total == 7 && shares.own == 4 && shares.first == 3)
        #expect(Shares(counts: [3, 0, 4], rank: 1).own == 0)
    }
}
