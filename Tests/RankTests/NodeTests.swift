import Collectives
import MPI
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
        for round in 1...4 {
            for (index, sum) in sums.enumerated() {
                for i in sum.indices { sum[i] = Float((i % 97 + index) * (World.ranks.rank + round)) }
                try exchange.start(sum, index: index)
            }
            while try !exchange.progress() { sched_yield() }
            let factor = Float(size * (size - 1) / 2 + size * round)
            for (index, sum) in sums.enumerated() {
                let isRight = sum.indices.allSatisfy { sum[$0] == Float($0 % 97 + index) * factor }
                XCTAssertTrue(isRight, "sum \(index), round \(round), \(World.label)")
            }
        }
    }

    private func sumOverNodes(_ values: UnsafeMutableBufferPointer<Float>, of node: any Node) throws {
        guard let exchange = node.exchange else { return XCTAssertEqual(node.nodes, 1) }
        try exchange.start(values, index: 0)
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
