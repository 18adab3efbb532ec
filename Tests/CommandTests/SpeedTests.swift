import Foundation
import XCTest

/// A step must not become 1.5 times as slow. Machines differ and are noisy, so its time is compared with that of a
/// matrix product in the same process, and the best of a few runs counts.
final class SpeedTests: CommandTestCase {
    /// The fastest step's time over that of a product of 1024x1024 matrices, on one rank and thread: 512 units, 64
    /// images; measured with these tests' build on an AMD EPYC (Zen 5).
    private static let reference = 8.1

    func testTheStepIsNotSlower() throws {
        var ratios: [Double] = []
        while ratios.count < 3 && (ratios.min() ?? .infinity) > 1.5 * Self.reference {
            let output = try succeed(["bench", "step", "--json", "--steps", "10"])
            let report = try JSONSerialization.jsonObject(with: Data(output.utf8)) as? [String: Any]
            ratios.append(try XCTUnwrap(report?["step_over_gemm"] as? Double))
        }
        print("a step takes as long as \(ratios) matrix products; \(Self.reference) when this was written")
        XCTAssertLessThan(ratios.min() ?? .infinity, 1.5 * Self.reference)
    }
}
