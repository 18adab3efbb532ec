import Collectives
import XCTest

/// Every call of `Ranks`, over MPI at this world size and over threads at several.
final class CollectivesTests: XCTestCase {
    func testOverMPI() throws { try checkAll(World.ranks) }

    func testOverThreads() throws {
        for size in 1...4 { try ThreadRank.run(size) { try checkAll($0) } }
    }

    func testAlone() throws { try checkAll(SingleRank()) }

    func testAThreadThatFailsReleasesTheOthers() {
        struct Broken: Error {}
        XCTAssertThrowsError(
            try ThreadRank.run(3) { ranks in
                if ranks.rank == 1 { throw Broken() }
                try ranks.barrier()
            }
        ) { XCTAssert($0 is Broken, "\($0)") }
    }
}

private func checkAll(_ ranks: any Ranks) throws {
    let (rank, size) = (ranks.rank, ranks.worldSize)
    let name = "\(type(of: ranks)), rank \(rank) of \(size)"

    // Sums and maxima, of lengths that the world size doesn't divide; long enough for every algorithm of MPI.
    for count in [0, 1, 5, 100_003] {
        var floats = (0..<count).map { Float($0 % 97) + Float(rank) }
        try floats.withUnsafeMutableBufferPointer { try ranks.sum($0) }
        let extra = Float(size * (size - 1) / 2)
        XCTAssertEqual(floats, (0..<count).map { Float($0 % 97) * Float(size) + extra }, "sum of \(count), \(name)")
        var maxima = (0..<count).map { Float($0) * (rank == size - 1 ? 1 : -1) }
        try maxima.withUnsafeMutableBufferPointer { try ranks.maximum($0) }
        XCTAssertEqual(maxima, (0..<count).map { Float($0) }, "maximum of \(count), \(name)")
    }
    XCTAssertEqual(try ranks.sum([0.5, Double(rank)]), [0.5 * Double(size), Double(size * (size - 1) / 2)], name)
    XCTAssertEqual(try ranks.sum([1 << 40]), [size << 40], name)

    // Uneven parts, rank 0's being empty.
    XCTAssertEqual(try ranks.gather(10 * rank), (0..<size).map { 10 * $0 }, name)
    let parts = try ranks.gather((0..<rank).map { Float($0 + 100 * rank) }, filler: 0)
    XCTAssertEqual(parts, (0..<size).flatMap { r in (0..<r).map { Float($0 + 100 * r) } }, name)
    XCTAssertEqual(try ranks.gatherText("rank-\(rank)"), (0..<size).map { "rank-\($0)" }, name)

    // Sums scattered unevenly: rank r gets r + 1 elements.
    let counts = (0..<size).map { $0 + 1 }
    let whole = (0..<counts.reduce(0, +)).map { Float($0 * (rank + 1)) }
    var slice = [Float](repeating: -1, count: counts[rank])
    try whole.withUnsafeBufferPointer { whole in
        try slice.withUnsafeMutableBufferPointer { try ranks.sumScattered(whole, counts: counts, into: $0) }
    }
    let first = counts[..<rank].reduce(0, +)
    let weight = size * (size + 1) / 2
    XCTAssertEqual(slice, (first..<first + counts[rank]).map { Float($0 * weight) }, name)

    // From every root.
    for root in 0..<size {
        var bytes = [UInt8](repeating: UInt8(rank), count: 33)
        try bytes.withUnsafeMutableBytes { try ranks.broadcast($0, from: root) }
        XCTAssertEqual(bytes, [UInt8](repeating: UInt8(root), count: 33), name)
        XCTAssertEqual(try ranks.broadcast("from \(rank)", from: root), "from \(root)", name)
    }
    try ranks.barrier()

    // A failure on one rank becomes one of all ranks, with that rank's name. A failure on all ranks is reported once,
    // without a name.
    XCTAssertEqual(try ranks.agree { rank + 1 }, rank + 1, name)
    XCTAssertThrowsError(
        try ranks.agree { if rank == size - 1 { throw InputError("bad file 17") } }, name
    ) { error in
        let agreed = error as? AgreedError
        XCTAssertEqual(agreed?.status, .badInput, name)
        let label = size > 1 ? "[rank \(size - 1) on " : "bad file 17"
        XCTAssert("\(error)".hasPrefix(label) && "\(error)".hasSuffix("bad file 17"), "\(error), \(name)")
    }
    XCTAssertThrowsError(try ranks.agree { throw InputError("rank \(rank) of all") }, name) {
        XCTAssertEqual("\($0)", "rank 0 of all", name)
    }
}
