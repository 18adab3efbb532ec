import Collectives
import MPI
import Tensors
import XCTest

/// Memory that the ranks of a machine share, over MPI and between threads.
final class NodeTests: XCTestCase {
    func testSlicesCoverAllOnce() throws {
        try Self.check(World.ranks)
        try ThreadRank.run(3, Self.check)
        try Self.check(SingleRank())
    }

    private static func check(_ ranks: any Ranks) throws {
        let node = try ranks.node(sharing: 4096, each: 4096)
        for count in [0, 16, 48, 1024] {
            let slice = node.slice(of: count)
            XCTAssertEqual(slice.lowerBound % 16, 0, World.label)
            let sizes = try ranks.gather(slice.count)
            XCTAssertEqual(sizes.reduce(0, +), count * node.nodes, "\(count) floats, \(World.label)")
        }
    }

    func testEveryRankSeesWhatTheOthersWrote() throws {
        try Self.exchange(World.ranks)
        try ThreadRank.run(3, Self.exchange)
    }

    private static func exchange(_ ranks: any Ranks) throws {
        let node = try ranks.node(sharing: 4096, each: 4096)
        let parts = try node.memory(100 + node.index)  // of different sizes
        XCTAssertEqual(parts.count, node.size)
        XCTAssertEqual(parts.map(\.count), (0..<node.size).map { 100 + $0 })
        XCTAssertTrue(parts.allSatisfy { $0.allSatisfy { $0 == 0 } })
        try node.meet()
        for round in 1...3 {
            parts[node.index].update(repeating: Float(round * 10 + node.index))
            try node.meet()
            for (index, part) in parts.enumerated() {
                XCTAssertEqual(Set(part), [Float(round * 10 + index)], "round \(round), \(World.label)")
            }
            try node.meet()
        }
    }

    /// Several sums at a time, of sizes that ranks don't divide, in many messages and more than the window holds.
    func testSumsUnderWayTogether() throws {
        World.ranks.largestNode = 1
        defer { World.ranks.largestNode = nil }
        let node = try World.ranks.node(sharing: 4096, each: 4096)
        guard let exchange = node.exchange else { return XCTAssertEqual(World.ranks.worldSize, 1) }
        let size = World.ranks.worldSize
        let sums = try [1_000_003, 700_001, 5].map { try node.memory($0)[0] }
        let precisions: [Precision] = [.float32, .bfloat16, .float32, .bfloat16]
        for (round, precision) in zip(1..., precisions) {
            let period = precision == .float32 ? 97 : 7  // whole numbers up to 256 are exact in bfloat16
            for (index, sum) in sums.enumerated() {
                for i in sum.indices { sum[i] = Float((i % period + index) * (World.ranks.rank + round)) }
                try exchange.start(sum, index: index, in: precision)
            }
            while try !exchange.progress() { sched_yield() }
            let factor = Float(size * (size - 1) / 2 + size * round)
            for (index, sum) in sums.enumerated() {
                let isRight = sum.indices.allSatisfy { sum[$0] == Float($0 % period + index) * factor }
                XCTAssertTrue(isRight, "sum \(index), round \(round), \(precision), \(World.label)")
            }
        }
    }

    /// In bfloat16 a sum over P nodes is rounded P times, each time by at most 2^-8 of a partial sum.
    func testSumsInBFloat16AreRoundedOnTheirWay() throws {
        World.ranks.largestNode = 1
        defer { World.ranks.largestNode = nil }
        let node = try World.ranks.node(sharing: 4096, each: 4096)
        guard node.exchange != nil else { return XCTAssertEqual(World.ranks.worldSize, 1) }
        let size = World.ranks.worldSize
        let count = 100_003
        let parts = (0..<size).map { rank in
            var stream = RandomStream(seed: 7, purpose: .synthetic, sample: rank)
            return (0..<count).map { _ in 2 * stream.uniform() - 1 }
        }
        func summed(in precision: Precision) throws -> [Float] {
            let memory = try node.memory(count)[0]
            _ = memory.update(from: parts[World.ranks.rank])
            try sumOverNodes(memory, of: node, in: precision)
            return Array(memory)
        }
        let exact = try summed(in: .float32)
        let rounded = try summed(in: .bfloat16)
        for i in 0..<count {
            let terms = parts.map { Double($0[i]) }
            let bound = Double(size) / 256 * terms.reduce(0) { $0 + abs($1) }
            XCTAssertLessThanOrEqual(abs(Double(rounded[i]) - terms.reduce(0, +)), bound, "\(terms), \(World.label)")
        }
        XCTAssertTrue(rounded.allSatisfy { $0.bitPattern & 0xFFFF == 0 }, World.label)
        let changed = zip(rounded, exact).count { $0 != $1 }
        XCTAssertGreaterThan(changed, count * 9 / 10, World.label)
        try expectSameBits(rounded)
    }

    /// What isn't finite on one node is finite on none, so that every rank skips the step.
    func testSumsInBFloat16StayNotFinite() throws {
        World.ranks.largestNode = 1
        defer { World.ranks.largestNode = nil }
        let node = try World.ranks.node(sharing: 4096, each: 4096)
        let size = World.ranks.worldSize
        guard size > 1 else { return }
        let special = [
            Float.infinity, -.infinity, .nan, Float(bitPattern: 0x7F80_0001), .greatestFiniteMagnitude, 0,
        ]
        let memory = try node.memory(special.count * size)[0]
        for holder in 0..<size {  // each node in turn
            memory.update(repeating: 1)
            if World.ranks.rank == holder {
                for i in memory.indices { memory[i] = special[i % special.count] }
            }
            try sumOverNodes(memory, of: node, in: .bfloat16)
            for i in memory.indices {
                let number = special[i % special.count]
                XCTAssertEqual(memory[i].isFinite, number == 0, "\(number), \(World.label)")
            }
            try expectSameBits(Array(memory))
        }
    }

    private func expectSameBits(_ values: [Float], line: UInt = #line) throws {
        let bits = values.map(\.bitPattern)
        let all = try World.ranks.gather(bits, filler: 0)
        for rank in 0..<World.ranks.worldSize {
            let others = all[rank * bits.count..<(rank + 1) * bits.count]
            XCTAssertTrue(others.elementsEqual(bits), "rank \(rank)'s are not those of \(World.label)", line: line)
        }
    }

    private func sumOverNodes(
        _ values: UnsafeMutableBufferPointer<Float>, of node: any Node, in precision: Precision = .float32
    ) throws {
        guard let exchange = node.exchange else { return XCTAssertEqual(node.nodes, 1) }
        try exchange.start(values, index: 0, in: precision)
        while try !exchange.progress() { sched_yield() }
    }

    /// Where the shared memory is too small each rank is alone, and sums go by messages.
    func testRanksStandAloneWithoutRoom() throws {
        let node = try World.ranks.node(sharing: 1 << 60, each: 16)
        XCTAssertEqual(node.size, 1)
        XCTAssertEqual(node.nodes, World.ranks.worldSize)
        let memory = try node.memory(16)[0]
        memory.update(repeating: Float(World.ranks.rank + 1))
        try sumOverNodes(memory, of: node)
        let size = World.ranks.worldSize
        XCTAssertEqual(Set(memory), [Float(size * (size + 1) / 2)])
    }

    /// On nodes of two ranks, two owners a node; where one rank stands alone on its node, so do all.
    func testNodesOfTwo() throws {
        World.ranks.largestNode = 2
        defer { World.ranks.largestNode = nil }
        let size = World.ranks.worldSize
        let node = try World.ranks.node(sharing: 4096, each: 4096)
        let isPaired = size % 2 == 0
        XCTAssertEqual(node.owners, isPaired ? 2 : 1)
        XCTAssertEqual(node.nodes, isPaired ? size / 2 : size)
        let memory = try node.memory(64)[node.index]
        memory.update(repeating: Float(World.ranks.rank + 1))
        let slice = node.slice(of: 64)
        try sumOverNodes(UnsafeMutableBufferPointer(rebasing: memory[slice]), of: node)
        let expected = stride(from: node.index, to: size, by: node.owners).reduce(0) { $0 + $1 + 1 }
        XCTAssertEqual(Set(memory[slice]), [Float(expected)], World.label)
    }
}
