/// F(3, 3): values at 0, ±1, 2 and infinity.
enum Tile3: WinogradTile {
    static var side: Int { 3 }

    /// Bᵀ: inputs.
    enum Input: LineTransform {
        static var inputs: Int { 5 }
        static var outputs: Int { 5 }

        @inline(__always)
        static func apply(_ x: (Int) -> Lanes, _ put: (Int, Lanes) -> Void) {
            let (d1, d2, d3) = (x(1), x(2), x(3))
            put(0, (x(0) - d2) * 2 + d3 - d1)
            put(1, d3 - d2 - d1 * 2)
            put(2, d3 - d2 * 3 + d1 * 2)
            put(3, d3 - d1)
            put(4, (d1 - d3) * 2 + x(4) - d2)
        }
    }

    /// Aᵀ: products to outputs.
    enum Output: LineTransform {
        static var inputs: Int { 5 }
        static var outputs: Int { 3 }

        @inline(__always)
        static func apply(_ x: (Int) -> Lanes, _ put: (Int, Lanes) -> Void) {
            let (m1, m2, m3) = (x(1), x(2), x(3))
            put(0, x(0) + m1 + m2 + m3)
            put(1, m1 - m2 + m3 * 2)
            put(2, m1 + m2 + m3 * 4 + x(4))
        }
    }

    /// G: the three taps of a filter.
    enum Filter: LineTransform {
        static var inputs: Int { 3 }
        static var outputs: Int { 5 }

        @inline(__always)
        static func apply(_ x: (Int) -> Lanes, _ put: (Int, Lanes) -> Void) {
            let (g0, g1, g2) = (x(0), x(1), x(2))
            put(0, g0 * 0.5)
            put(1, (g0 + g1 + g2) * -0.5)
            put(2, (g0 - g1 + g2) * (-1 / 6))
            put(3, (g0 + g1 * 2 + g2 * 4) * (1 / 6))
            put(4, g2)
        }
    }

    /// B: the gradients by transformed inputs to those by inputs.
    enum InputGradient: LineTransform {
        static var inputs: Int { 5 }
        static var outputs: Int { 5 }

        @inline(__always)
        static func apply(_ x: (Int) -> Lanes, _ put: (Int, Lanes) -> Void) {
            let (m0, m1, m2, m3, m4) = (x(0), x(1), x(2), x(3), x(4))
            put(0, m0 * 2)
            put(1, (m2 - m1 + m4) * 2 - m0 - m3)
            put(2, (m0 * 2 + m1 + m2 * 3 + m4) * -1)
            put(3, m0 + m1 + m2 + m3 - m4 * 2)
            put(4, m4)
        }
    }

    /// A: the gradients by outputs to those by products.
    enum OutputGradient: LineTransform {
        static var inputs: Int { 3 }
        static var outputs: Int { 5 }

        @inline(__always)
        static func apply(_ x: (Int) -> Lanes, _ put: (Int, Lanes) -> Void) {
            let (y0, y1, y2) = (x(0), x(1), x(2))
            put(0, y0)
            put(1, y0 + y1 + y2)
            put(2, y0 - y1 + y2)
            put(3, y0 + y1 * 2 + y2 * 4)
            put(4, y2)
        }
    }

    /// Gᵀ: the gradients by a transformed filter to those by its taps.
    enum FilterGradient: LineTransform {
        static var inputs: Int { 5 }
        static var outputs: Int { 3 }

        @inline(__always)
        static func apply(_ x: (Int) -> Lanes, _ put: (Int, Lanes) -> Void) {
            let (u1, u2, u3) = (x(1) * -0.5, x(2) * (-1 / 6), x(3) * (1 / 6))
            put(0, x(0) * 0.5 + u1 + u2 + u3)
            put(1, u1 - u2 + u3 * 2)
            put(2, u1 + u2 + u3 * 4 + x(4))
        }
    }
}
