/// A dense row-major array of Float32. It is a handle: copies share their elements.
package struct Tensor {
    let storage: Storage
    let offset: Int
    package let shape: [Int]

    package var count: Int { shape.reduce(1, *) }
    package var base: UnsafeMutablePointer<Float> { storage.base + offset }
    /// Where the elements lie, for libraries.
    var address: UnsafeMutableRawPointer { UnsafeMutableRawPointer(base) }
    package var elements: UnsafeMutableBufferPointer<Float> { .init(start: base, count: count) }
    package var array: [Float] { Array(elements) }

    /// The same elements under another shape of equal count.
    package func reshaped(_ shape: [Int]) -> Tensor {
        precondition(shape.reduce(1, *) == count, "\(self.shape) can't become \(shape)")
        return Tensor(storage: storage, offset: offset, shape: shape)
    }

    /// `shape.product` elements from `start` on, sharing memory.
    package func view(from start: Int, shape: [Int]) -> Tensor {
        precondition(start >= 0 && start + shape.reduce(1, *) <= count, "view \(start) \(shape) of \(self.shape)")
        return Tensor(storage: storage, offset: offset + start, shape: shape)
    }

    /// All axes but the last as rows: `[a, b, c]` is a matrix of a·b rows and c columns.
    package var matrix: Matrix {
        let columns = shape.last ?? 1
        return Matrix(base: base, rows: columns == 0 ? 0 : count / columns, columns: columns, stride: columns)
    }

    package func fill(_ value: Float) { elements.update(repeating: value) }

    package func copy(from other: Tensor) { base.update(from: other.base, count: count) }
}

/// A view of rows in memory: element (r, c) is at `base[r * stride + c]`.
package struct Matrix {
    package var base: UnsafeMutablePointer<Float>
    package var rows: Int
    package var columns: Int
    package var stride: Int
    /// Whether a product reads it as its transpose. `rows` and `columns` are those of the memory.
    package var isTransposed = false

    package init(base: UnsafeMutablePointer<Float>, rows: Int, columns: Int, stride: Int) {
        self.base = base
        self.rows = rows
        self.columns = columns
        self.stride = stride
    }

    /// The transpose, without moving anything.
    package var transposed: Matrix {
        var result = self
        result.isTransposed.toggle()
        return result
    }

    package subscript(rows range: Range<Int>) -> Matrix {
        Matrix(base: base + range.lowerBound * stride, rows: range.count, columns: columns, stride: stride)
    }

    package subscript(columns range: Range<Int>) -> Matrix {
        Matrix(base: base + range.lowerBound, rows: rows, columns: range.count, stride: stride)
    }

    /// Copies a matrix of the same size, of any stride.
    package func copy(from other: Matrix) {
        for r in 0..<rows { row(r).update(from: other.row(r), count: columns) }
    }

    package func row(_ index: Int) -> UnsafeMutablePointer<Float> { base + index * stride }
}
