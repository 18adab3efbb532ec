import Foundation
import Testing

@testable import Tensors

/// The error bounds that VectorMath.swift states, against Foundation in Double.
@Suite struct VectorMathTests {
    private func apply(_ function: (Vector) -> Vector, to points: [Float]) -> [Float] {
        stride(from: 0, to: points.count, by: 16).flatMap { start in
            let part = points[start..<min(start + 16, points.count)]
            var vector = Vector(repeating: 0)
            for (lane, point) in part.enumerated() { vector[lane] = point }
            let result = function(vector)
            return part.indices.map { result[$0 - start] }
        }
    }

    @Test func exponentialKeepsItsBound() {
        var points = (0...20_000).map { -87.3 + 175.3 * Float($0) / 20_000 }
        for n in -125...126 {  // where the power of two changes
            let edge = (Float(n) + 0.5) * 0.693_147_18
            points += [edge.nextDown, edge, edge.nextUp]
        }
        for n in 1...40 { points += [-Float(sign: .plus, exponent: -n, significand: 1.37), 1 / Float(1 << n)] }
        points += [-87.3, 0, 88]
        for (x, e) in zip(points, apply(exponential, to: points)) {
            let expected = exp(Double(x))
            let error = abs(Double(e) - expected) / expected
            #expect(error < 1e-7, "e^\(x) is \(e), expected \(expected)")
        }
    }

    @Test func exponentialIsZeroBelowAndBoundedAbove() {
        let below: [Float] = [Float(-87.3).nextDown, -88, -1000, emptyMaximum, excludedScore, -.infinity]
        #expect(apply(exponential, to: below) == Array(repeating: 0, count: below.count))
        let above: [Float] = [88, Float(88).nextUp, 89, 1000, 3e38, .infinity]
        #expect(Set(apply(exponential, to: above)).count == 1)
    }

    @Test func logarithmOfOnePlusKeepsItsBound() {
        var points = (0...20_000).map { Float($0) / 20_000 }
        let edge: Float = 0.414_213_56
        points += [edge.nextDown, edge, edge.nextUp, Float(1).nextDown]
        for n in 1...126 { points.append(Float(sign: .plus, exponent: -n, significand: 1.37)) }
        for (y, logarithm) in zip(points, apply(logarithmOfOnePlus, to: points)) {
            let error = abs(Double(logarithm) - log1p(Double(y)))
            #expect(error < 5e-8, "ln(1 + \(y)) is \(logarithm)")
        }
    }

    @Test(arguments: [0, 1, 15, 16, 17, 37])
    func replaceVectorsTouchesItsElementsOnly(count: Int) throws {
        let device = try Device()
        let tensor = device.tensor([count + 20], (0..<count + 20).map(Float.init))
        tensor.base.replaceVectors(count: count) { values, start in
            var result = values
            for lane in 0..<16 { result[lane] = -(values[lane] + 100 * Float(start)) }
            return result
        }
        let expected: [Float] = (0..<count + 20).map { i in
            let block = i / 16 * 16
            return Float(i < count ? -i - 100 * block : i)
        }
        #expect(tensor.array == expected)
    }
}
