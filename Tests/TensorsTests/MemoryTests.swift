import Tensors
import Testing

@Suite struct MemoryTests {
    @Test func aFreedBlockIsUsedAgain() throws {
        let device = try Device()
        let address = device.tensor([1000]).base
        #expect(device.memory.systemAllocations == 1)
        for _ in 0..<5 {
            let tensor = device.tensor([10, 100])
            #expect(tensor.base == address)
        }
        #expect(device.tensor([1010]).base == address)  // like sizes share blocks
        #expect(device.memory.systemAllocations == 1)
        let (first, second) = (device.tensor([1000]), device.tensor([1000]))
        #expect(first.base != second.base)
        #expect(device.memory.systemAllocations == 2)
    }

    @Test func countsBytes() throws {
        let memory: MemoryPool
        do {
            let device = try Device()
            memory = device.memory
            do {
                let tensors = [device.tensor([1024]), device.tensor([1024])]
                #expect(memory.bytesInUse == 8192)
                withExtendedLifetime(tensors) {}
            }
            #expect(memory.bytesInUse == 0)
            #expect(memory.peakBytes == 8192)
            memory.resetPeak()
            #expect(memory.peakBytes == 0)
            let small = device.tensor([1])
            #expect(memory.peakBytes == 64)
            withExtendedLifetime(small) {}
        }
        #expect(memory.bytesInUse == 0)
    }

    @Test func blocksHoldWhatIsAskedAndLittleMore() throws {
        let device = try Device()
        for count in [0, 1, 15, 16, 17, 255, 1000, 4097, 65_537, 1_000_003] {
            let tensor = device.tensor([count])
            #expect(UInt(bitPattern: tensor.base) % 64 == 0, "\(count) elements")
            let bytes = device.memory.bytesInUse
            #expect(bytes >= 4 * count && bytes <= 4 * count + max(64, 4 * count / 16), "\(count) elements")
            withExtendedLifetime(tensor) {}
        }
    }

    @Test func viewsKeepTheirStorage() throws {
        let device = try Device()
        func makeView() -> Tensor { device.tensor([2, 3], [0, 1, 2, 3, 4, 5]).view(from: 3, shape: [3]) }
        let view = makeView()
        let other = device.tensor([2, 3], filledWith: 9)
        #expect(view.array == [3, 4, 5])
        #expect(view.reshaped([3, 1]).view(from: 1, shape: [1]).array == [4])
        withExtendedLifetime(other) {}
    }

    @Test func handlesShareElements() throws {
        let device = try Device()
        let tensor = device.tensor([2, 2], [1, 2, 3, 4])
        let same = tensor.reshaped([4])
        same.base[3] = 7
        #expect(tensor.array == [1, 2, 3, 7])
        let copy = device.tensor([2, 2])
        copy.copy(from: tensor)
        copy.fill(0)
        #expect(tensor.array == [1, 2, 3, 7])
    }

    @Test func matrixOfAllAxesButTheLast() throws {
        let device = try Device()
        let tensor = device.tensor([2, 3, 4], (0..<24).map(Float.init))
        let matrix = tensor.matrix
        #expect(matrix.rows == 6 && matrix.columns == 4 && matrix.stride == 4)
        #expect(matrix[rows: 2..<4].row(1)[0] == 12)
        #expect(matrix[columns: 1..<3].row(5)[1] == 22)
        #expect(device.tensor([0, 3]).matrix.rows == 0)
        let target = GappedMatrix(device, rows: 6, columns: 2, values: Array(repeating: 0, count: 12))
        target.matrix.copy(from: matrix[columns: 1..<3])
        #expect(target.values == [1, 2, 5, 6, 9, 10, 13, 14, 17, 18, 21, 22])
        #expect(target.gapsAreUntouched)
        withExtendedLifetime(tensor) {}
    }
}
