import Foundation

extension Double {
    package var exponential: Double { Foundation.exp(self) }
    package var logarithm: Double { Foundation.log(self) }
    package func raised(to exponent: Double) -> Double { Foundation.pow(self, exponent) }

    package static func cosine(_ x: Double) -> Double { Foundation.cos(x) }

    /// ln(1 + e^x).
    package static func softplus(_ x: Double) -> Double { Swift.max(x, 0) + Foundation.log1p(Foundation.exp(-abs(x))) }

    /// 1 / (1 + e^-x).
    package static func sigmoid(_ x: Double) -> Double { 1 / (1 + Foundation.exp(-x)) }
}
