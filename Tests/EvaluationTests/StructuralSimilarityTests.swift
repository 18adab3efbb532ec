import Collectives
import Evaluation
import Foundation
import Testing

@Suite struct StructuralSimilarityTests {
    /// As `Fixtures/structural_similarity.py` writes it.
    private struct Pair: Decodable {
        let height: Int
        let width: Int
        let channels: Int
        let scales: Int
        let x: Data
        let y: Data
        let similarity: Double
    }

    private static func pairs() throws -> [Pair] {
        let url = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .appendingPathComponent("Fixtures/structural_similarity.json")
        return try JSONDecoder().decode([Pair].self, from: Data(contentsOf: url))
    }

    @Test func agreesWithTheReference() throws {
        let pairs = try Self.pairs()
        #expect(pairs.map(\.scales) == [1, 2, 2, 3, 5])
        for pair in pairs {
            let index = try StructuralSimilarity(
                height: pair.height, width: pair.width, channels: pair.channels, range: 255)
            let (x, y) = (pair.x.map(Float.init), pair.y.map(Float.init))
            #expect(x.count == pair.height * pair.width * pair.channels)
            #expect(index.scales == pair.scales)
            #expect(abs(index(x, y) - pair.similarity) < 1e-10, "\(pair.height)x\(pair.width)")
            #expect(abs(index(y, x) - pair.similarity) < 1e-10, "the other way round")
            #expect(abs(index(x, x) - 1) < 1e-12)
        }
    }

    @Test func constantImagesDifferByLuminanceAlone() throws {
        // All contrast terms are C₂/C₂ = 1; luminance, at the second of two scales, has the weight .2856/(.0448 +
        // .2856).
        let index = try StructuralSimilarity(height: 32, width: 22, channels: 2, range: 2)
        let (a, b, c1) = (0.6, -0.2, 0.02 * 0.02)
        let count = 32 * 22 * 2
        let found = index([Float](repeating: 0.6, count: count), [Float](repeating: 0.2, count: count))
        let luminance = (2 * a * -b + c1) / (a * a + b * b + c1)
        #expect(abs(found - pow(luminance, 0.2856 / 0.3304)) < 1e-6)
        // Of opposite signs it is negative, and counts as 0.
        #expect(index([Float](repeating: 0.6, count: count), [Float](repeating: -0.2, count: count)) == 0)
    }

    @Test func refusesImagesSmallerThanAWindow() {
        #expect(throws: InputError.self) { try StructuralSimilarity(height: 32, width: 10, channels: 1, range: 2) }
    }
}
