/// F(4, 3): values at 0, ±5/8, ±3/2 and infinity. With these points a result is some times as exact as with 0, ±1, ±2 and
/// infinity (Barabasz et al. 2020, "Error Analysis and Improving the Accuracy of Winograd Convolution"), and all factors
/// but the filters' are exact.
enum Tile4: WinogradTile {
    static var side: Int { 4 }

    private static var a: Float { 0.625 }
    private static var b: Float { 1.5 }
    private static var a2: Float { a * a }
    private static var b2: Float { b * b }
    /// Factors of the filters at 0, at ±a and at ±b.
    private static var atZero: Float { 1 / (a2 * b2) }
    private static var atA: Float { 1 / (2 * a2 * (a2 - b2)) }
    private static var atB: Float { 1 / (2 * b2 * (b2 - a2)) }

    /// Bᵀ: inputs.
    enum Input: LineTransform {
        static var inputs: Int { 6 }
        static var outputs: Int { 6 }

        @inline(__always)
        static func apply(_ x: (Int) -> Lanes, _ put: (Int, Lanes) -> Void) {
            let (d0, d1, d2, d3, d4, d5) = (x(0), x(1), x(2), x(3), x(4), x(5))
            put(0, d0 * (a2 * b2) - d2 * (a2 + b2) + d4)
            let (evenA, oddA) = (d4 - d2 * b2, (d3 - d1 * b2) * a)
            put(1, evenA + oddA)
            put(2, evenA - oddA)
            let (evenB, oddB) = (d4 - d2 * a2, (d3 - d1 * a2) * b)
            put(3, evenB + oddB)
            put(4, evenB - oddB)
            put(5, d1 * (a2 * b2) - d3 * (a2 + b2) + d5)
        }
    }

    /// Aᵀ: products to outputs.
    enum Output: LineTransform {
        static var inputs: Int { 6 }
        static var outputs: Int { 4 }

        @inline(__always)
        static func apply(_ x: (Int) -> Lanes, _ put: (Int, Lanes) -> Void) {
            let (m1, m2, m3, m4) = (x(1), x(2), x(3), x(4))
            let (evenA, oddA, evenB, oddB) = (m1 + m2, (m1 - m2) * a, m3 + m4, (m3 - m4) * b)
            put(0, x(0) + evenA + evenB)
            put(1, oddA + oddB)
            put(2, evenA * a2 + evenB * b2)
            put(3, oddA * a2 + oddB * b2 + x(5))
        }
    }

    /// G: the three taps of a filter.
    enum Filter: LineTransform {
        static var inputs: Int { 3 }
        static var outputs: Int { 6 }

        @inline(__always)
        static func apply(_ x: (Int) -> Lanes, _ put: (Int, Lanes) -> Void) {
            let (g0, g1, g2) = (x(0), x(1), x(2))
            put(0, g0 * atZero)
            let (evenA, oddA) = ((g0 + g2 * a2) * atA, g1 * (a * atA))
            put(1, evenA + oddA)
            put(2, evenA - oddA)
            let (evenB, oddB) = ((g0 + g2 * b2) * atB, g1 * (b * atB))
            put(3, evenB + oddB)
            put(4, evenB - oddB)
            put(5, g2)
        }
    }

    /// B: the gradients by transformed inputs to those by inputs.
    enum InputGradient: LineTransform {
        static var inputs: Int { 6 }
        static var outputs: Int { 6 }

        @inline(__always)
        static func apply(_ x: (Int) -> Lanes, _ put: (Int, Lanes) -> Void) {
            let (m0, m1, m2, m3, m4, m5) = (x(0), x(1), x(2), x(3), x(4), x(5))
            let (evenA, oddA, evenB, oddB) = (m1 + m2, (m1 - m2) * a, m3 + m4, (m3 - m4) * b)
            put(0, m0 * (a2 * b2))
            put(1, m5 * (a2 * b2) - oddA * b2 - oddB * a2)
            put(2, (m0 * (a2 + b2) + evenA * b2 + evenB * a2) * -1)
            put(3, oddA + oddB - m5 * (a2 + b2))
            put(4, m0 + evenA + evenB)
            put(5, m5)
        }
    }

    /// A: the gradients by outputs to those by products.
    enum OutputGradient: LineTransform {
        static var inputs: Int { 4 }
        static var outputs: Int { 6 }

        @inline(__always)
        static func apply(_ x: (Int) -> Lanes, _ put: (Int, Lanes) -> Void) {
            let (y0, y1, y2, y3) = (x(0), x(1), x(2), x(3))
            put(0, y0)
            let (evenA, oddA) = (y0 + y2 * a2, (y1 + y3 * a2) * a)
            put(1, evenA + oddA)
            put(2, evenA - oddA)
            let (evenB, oddB) = (y0 + y2 * b2, (y1 + y3 * b2) * b)
            put(3, evenB + oddB)
            put(4, evenB - oddB)
            put(5, y3)
        }
    }

    /// Gᵀ: the gradients by a transformed filter to those by its taps.
    enum FilterGradient: LineTransform {
        static var inputs: Int { 6 }
        static var outputs: Int { 3 }

        @inline(__always)
        static func apply(_ x: (Int) -> Lanes, _ put: (Int, Lanes) -> Void) {
            let (u1, u2, u3, u4) = (x(1), x(2), x(3), x(4))
            let (evenA, evenB) = ((u1 + u2) * atA, (u3 + u4) * atB)
            put(0, x(0) * atZero + evenA + evenB)
            put(1, (u1 - u2) * (a * atA) + (u3 - u4) * (b * atB))
            put(2, evenA * a2 + evenB * b2 + x(5))
        }
    }
}
