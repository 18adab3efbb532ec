import Autodiff
import Collectives
import Datasets
import Evaluation
import Tensors
import XCTest

final class InputInformationTests: XCTestCase {
    /// Pictures of one pixel beside features of correlation 0.9 with it, and of none: -½ ln(1 - 0.81) = 0.830 nats.
    func testFeaturesSayWhatTheyKnowOfTheirPictures() throws {
        let rows = 4000
        func measure(_ correlation: Float, worldSize: Int) throws -> [Double] {
            try onRanks(worldSize) { ranks, device in
                let first = rows * ranks.rank / ranks.worldSize
                let count = rows * (ranks.rank + 1) / ranks.worldSize - first
                func pixel(_ row: Int) -> Float {
                    var stream = RandomStream(row: first + row)
                    return stream.normal()
                }
                let pictures = Pictures(shape: ImageShape(height: 1, width: 1, channels: 1)) { rows, destination in
                    for (slot, row) in rows.enumerated() { destination[slot] = pixel(row) }
                }
                let values = (0..<count).map { row in
                    var noise = RandomStream(row: first + row, seed: 9)
                    return correlation * pixel(row) + (1 - correlation * correlation).squareRoot() * noise.normal()
                }
                let features = try Features(
                    values: device.tensor([count, 1], values), labels: Array(repeating: 0, count: count), classes: 1,
                    pictures: pictures, ranks: ranks)
                var probe = InputInformation()
                probe.estimation.steps = 300
                probe.estimation.units = 64
                probe.estimation.batch = 256
                probe.estimation.candidates = 512
                probe.images = 3500  // less than there are: the last rank gives fewer
                let estimate = try probe.estimate(
                    train: features, test: features, seed: 1, ranks: ranks, device: device)
                XCTAssertFalse(estimate.warnings.contains { $0.contains("diverged") })
                return estimate.nats
            }
        }
        let alone = try measure(0.9, worldSize: 1)[0]
        XCTAssertEqual(alone, 0.830, accuracy: 0.12)
        for value in try measure(0.9, worldSize: 2) { XCTAssertEqual(value, alone, accuracy: 0.02) }
        XCTAssertEqual(try measure(0, worldSize: 1)[0], 0, accuracy: 0.05)
    }
}
