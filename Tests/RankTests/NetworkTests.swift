import Collectives
import XCTest

/// Times of collectives against what their algorithms send.
final class NetworkTests: XCTestCase {
    private let network = Network(latency: 1e-5, bandwidth: 1e9)

    func testTimesFollowFromLatencyAndBandwidth() {
        XCTAssertEqual(network.allReduce(bytes: 1e6, nodes: 1), 0)
        XCTAssertEqual(network.gather(bytes: 1e6, nodes: 1), 0)
        // Small: three doublings of eight nodes, four of nine.
        XCTAssertEqual(network.allReduce(bytes: 8, nodes: 8), 3 * (1e-5 + 8e-9), accuracy: 1e-12)
        XCTAssertEqual(network.allReduce(bytes: 8, nodes: 9), 4 * (1e-5 + 8e-9), accuracy: 1e-12)
        // Large: a ring sends each byte twice but for a share.
        XCTAssertEqual(network.allReduce(bytes: 1e9, nodes: 4), 2 * (3e-5 + 0.75), accuracy: 1e-9)
        XCTAssertEqual(network.gather(bytes: 1e6, nodes: 4), 2e-5 + 0.75e-3, accuracy: 1e-12)
    }
}
