import Layers
import Tensors
import XCTest

final class ParameterSetRankTests: XCTestCase {
    func testGradientsAreSummedInBucketsOfAnySize() throws {
        for worldSize in 1...3 {
            for bucket in [1, 7, 16, 1000] {
                let results = try onRanks(worldSize) { ranks, device in
                    let declarations = Declarations()
                    _ = declarations.parameter("a", [5], .constant(0))
                    _ = declarations.parameter("b", [20], .constant(0))
                    let set = ParameterSet(declarations, device: device, seed: 1)
                    for i in 0..<set.count { set.gradients.base[i] = Float(i + 1000 * ranks.rank) }
                    try set.sumGradients(over: ranks, bucket: bucket)
                    return set.gradients.array
                }
                let ofRanks = 1000 * worldSize * (worldSize - 1) / 2
                let expected = (0..<48).map { Float(worldSize * $0 + ofRanks) }
                XCTAssertEqual(results, Array(repeating: expected, count: worldSize), "\(worldSize), bucket \(bucket)")
            }
        }
    }
}
