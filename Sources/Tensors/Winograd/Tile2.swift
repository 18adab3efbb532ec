/// F(2, 3): values at 0, ±1 and infinity.
enum Tile2: WinogradTile {
    static var side: Int { 2 }

    /// Bᵀ: inputs.
    enum Input: LineTransform {
        static var inputs: Int { 4 }
        static var outputs: Int { 4 }

        @inline(__always)
        static func apply(_ x: (Int) -> Lanes, _ put: (Int, Lanes) -> Void) {
            let (d1, d2) = (x(1), x(2))
            put(0, x(0) - d2)
            put(1, d2 + d1)
            put(2, d2 - d1)
            put(3, x(3) - d1)
        }
    }

    /// Aᵀ: products to outputs.
    enum Output: LineTransform {
        static var inputs: Int { 4 }
        static var outputs: Int { 2 }

        @inline(__always)
        static func apply(_ x: (Int) -> Lanes, _ put: (Int, Lanes) -> Void) {
            let (m1, m2) = (x(1), x(2))
            put(0, x(0) + m1 + m2)
            put(1, m1 - m2 + x(3))
        }
    }

    /// G: the three taps of a filter.
    enum Filter: LineTransform {
        static var inputs: Int { 3 }
        static var outputs: Int { 4 }

        @inline(__always)
        static func apply(_ x: (Int) -> Lanes, _ put: (Int, Lanes) -> Void) {
            let (g0, g1, g2) = (x(0), x(1), x(2))
            put(0, g0)
            put(1, (g0 + g2 + g1) * 0.5)
            put(2, (g0 + g2 - g1) * 0.5)
            put(3, g2)
        }
    }

    /// B: the gradients by transformed inputs to those by inputs.
    enum InputGradient: LineTransform {
        static var inputs: Int { 4 }
        static var outputs: Int { 4 }

        @inline(__always)
        static func apply(_ x: (Int) -> Lanes, _ put: (Int, Lanes) -> Void) {
            let (m0, m1, m2, m3) = (x(0), x(1), x(2), x(3))
            put(0, m0)
            put(1, m1 - m2 - m3)
            put(2, m1 + m2 - m0)
            put(3, m3)
        }
    }

    /// A: the gradients by outputs to those by products.
    enum OutputGradient: LineTransform {
        static var inputs: Int { 2 }
        static var outputs: Int { 4 }

        @inline(__always)
        static func apply(_ x: (Int) -> Lanes, _ put: (Int, Lanes) -> Void) {
            let (y0, y1) = (x(0), x(1))
            put(0, y0)
            put(1, y0 + y1)
            put(2, y0 - y1)
            put(3, y1)
        }
    }

    /// Gᵀ: the gradients by a transformed filter to those by its taps.
    enum FilterGradient: LineTransform {
        static var inputs: Int { 4 }
        static var outputs: Int { 3 }

        @inline(__always)
        static func apply(_ x: (Int) -> Lanes, _ put: (Int, Lanes) -> Void) {
            let (even, odd) = ((x(1) + x(2)) * 0.5, (x(1) - x(2)) * 0.5)
            put(0, x(0) + even)
            put(1, odd)
            put(2, even + x(3))
        }
    }
}
