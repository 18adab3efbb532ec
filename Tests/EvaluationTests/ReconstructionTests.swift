import Collectives
import Datasets
import Evaluation
import Foundation
import Tensors
import XCTest

final class ReconstructionTests: XCTestCase {
    /// Images of one wave, whose amplitude and phase are the features.
    private static func features(_ rows: Range<Int>, side: Int, ranks: any Ranks, device: Device) throws -> Features {
        func parameters(_ row: Int) -> (amplitude: Float, phase: Float) {
            var stream = RandomStream(row: row)
            return (0.3 + 0.5 * stream.uniform(), 2 * stream.uniform() - 1)
        }
        // Of three ranks the middle one has nothing.
        let edges = ranks.worldSize == 3 ? [0, 1, 1, 3] : Array(0...ranks.worldSize)
        let start = rows.count * edges[ranks.rank] / ranks.worldSize
        let end = rows.count * edges[ranks.rank + 1] / ranks.worldSize
        let own = Array(rows[(rows.lowerBound + start)..<(rows.lowerBound + end)])
        let values = own.flatMap { row in [parameters(row).amplitude, parameters(row).phase] }
        let pictures = Pictures(shape: ImageShape(height: side, width: side, channels: 1)) { indices, destination in
            for (slot, index) in indices.enumerated() {
                let (amplitude, phase) = parameters(own[index])
                for pixel in 0..<side * side {
                    let position = Float(pixel % side + 2 * (pixel / side)) / 6
                    destination[slot * side * side + pixel] = amplitude * sin(position + 2 * phase)
                }
            }
        }
        return try Features(
            values: device.tensor([own.count, 2], values), labels: Array(repeating: 0, count: own.count), classes: 1,
            pictures: pictures, ranks: ranks)
    }

    private static func probe() -> Reconstruction {
        var probe = Reconstruction()
        probe.channels = 4
        probe.batch = 32
        probe.steps = 100
        probe.rate = 1e-2
        return probe
    }

    func testDecodesWhatFeaturesTellAtEveryWorldSize() throws {
        var values: [Double] = []
        for worldSize in 1...3 {
            let results = try onRanks(worldSize) { ranks, device in
                let train = try Self.features(0..<300, side: 16, ranks: ranks, device: device)
                let test = try Self.features(300..<331, side: 16, ranks: ranks, device: device)
                let decoded = try Self.probe()(train: train, test: test, seed: 1, ranks: ranks, device: device)
                let grey = try Reconstruction.similarity(to: test, ranks: ranks, device: device) { rows in
                    device.tensor([rows.count, 16, 16, 1], filledWith: 0)
                }
                return [decoded, grey]
            }
            XCTAssertEqual(Set(results).count, 1, "\(worldSize) ranks")
            values.append(results[0][0])
            XCTAssertGreaterThan(results[0][0], 0.8, "\(worldSize) ranks")
            XCTAssertLessThan(results[0][1], 0.3, "\(worldSize) ranks")
        }
        for value in values { XCTAssertEqual(value, values[0], accuracy: 0.01) }
    }

    func testTakesOtherSizesAndRefusesThoseThatNoDecoderMakes() throws {
        var probe = Self.probe()
        probe.steps = 1
        for side in [24, 28] {
            let device = try Device()
            let ranks = SingleRank()
            let set = try Self.features(0..<40, side: side, ranks: ranks, device: device)
            let value = try probe(train: set, test: set, seed: 1, ranks: ranks, device: device)
            XCTAssertTrue((0...1).contains(value), "\(side): \(value)")
        }
        let one = probe
        XCTAssertThrowsError(try probe.checkShape(ImageShape(height: 100, width: 100, channels: 3)))
        XCTAssertNoThrow(try probe.checkShape(ImageShape(height: 32, width: 48, channels: 3)))
        for (side, text) in [(33, "33x33"), (8, "8x8")] {
            XCTAssertThrowsError(
                try onRanks(2) { ranks, device in
                    let set = try Self.features(0..<40, side: side, ranks: ranks, device: device)
                    _ = try one(train: set, test: set, seed: 1, ranks: ranks, device: device)
                }
            ) { XCTAssertTrue("\($0)".contains(text), "\($0)") }
        }
    }
}
