import COneDNN
import Collectives

/// A matrix as products take it: itself in float32, a rounded copy in bfloat16.
package struct Operand {
    /// What keeps the elements alive; nil where the caller does.
    private let owner: Tensor?
    /// Of float32, or of bfloat16 where the processor multiplies that.
    private(set) var address: UnsafeMutableRawPointer
    /// Bytes of an element.
    let elementSize: Int
    // As of `Matrix`.
    private(set) var rows: Int
    private(set) var columns: Int
    let stride: Int
    private(set) var isTransposed = false

    /// A matrix of float32.
    fileprivate init(_ matrix: Matrix, of owner: Tensor?) {
        self.owner = owner
        address = UnsafeMutableRawPointer(matrix.base)
        elementSize = 4
        (rows, columns, stride, isTransposed) = (matrix.rows, matrix.columns, matrix.stride, matrix.isTransposed)
    }

    /// Rows of bfloat16 that follow each other.
    fileprivate init(rows: Int, columns: Int, in owner: Tensor) {
        self.owner = owner
        address = owner.address
        elementSize = 2
        (self.rows, self.columns, stride) = (rows, columns, columns)
    }

    /// The transpose, without moving anything.
    package var transposed: Operand {
        var result = self
        result.isTransposed.toggle()
        return result
    }

    package subscript(rows range: Range<Int>) -> Operand {
        var result = self
        result.address += range.lowerBound * stride * elementSize
        result.rows = range.count
        return result
    }

    package subscript(columns range: Range<Int>) -> Operand {
        var result = self
        result.address += range.lowerBound * elementSize
        result.columns = range.count
        return result
    }

    /// Its elements where they are float32; nil where they are bfloat16.
    var matrix: Matrix? {
        guard elementSize == 4 else { return nil }
        var result = Matrix(base: floats, rows: rows, columns: columns, stride: stride)
        result.isTransposed = isTransposed
        return result
    }

    /// Its elements, which are float32.
    var floats: UnsafeMutablePointer<Float> { address.assumingMemoryBound(to: Float.self) }

    /// A row of bfloat16.
    @inline(__always)
    private func row(_ index: Int) -> UnsafeMutablePointer<UInt16> {
        (address + index * stride * 2).assumingMemoryBound(to: UInt16.self)
    }

    /// Sets elements to 0 where `output` is not positive.
    package func mask(wherePositive output: Operand) {
        if let matrix, let output = output.matrix { return matrix.mask(wherePositive: output) }
        inParallel(rows, elements: columns) { part in
            for r in part {
                let (gradient, y) = (row(r), output.row(r))
                for c in 0..<columns { gradient[c] = Int16(bitPattern: y[c]) > 0 ? gradient[c] : 0 }
            }
        }
    }

    /// Sums over rows, in blocks of float32.
    package func columnSums() -> [Double] {
        if let matrix { return matrix.columnSums() }
        return sumInParallel(rows, width: columns, elements: columns) { part, sums in
            var block = [Float](repeating: 0, count: columns)
            for start in Swift.stride(from: part.lowerBound, to: part.upperBound, by: 256) {
                block.withUnsafeMutableBufferPointer { block in
                    block.update(repeating: 0)
                    for r in start..<min(part.upperBound, start + 256) {
                        let row = row(r)
                        for c in 0..<columns { block[c] += Float(bfloat16: row[c]) }
                    }
                }
                for c in 0..<columns { sums[c] += Double(block[c]) }
            }
        }
    }
}

extension Device {
    /// Type of what oneDNN's products take.
    var operandType: dnnl_data_type_t { precision == .bfloat16 && precision.isNative ? dnnl_bf16 : dnnl_f32 }
    /// Whether operands are rounded and multiplied in float32, for want of instructions.
    var roundsInFloat32: Bool { precision == .bfloat16 && !precision.isNative }

    /// An operand whose elements are not set.
    func emptyOperand(rows: Int, columns: Int) -> Operand {
        guard operandType == dnnl_bf16 else {
            let owner = tensor([rows, columns])
            return Operand(owner.matrix, of: owner)
        }
        return Operand(rows: rows, columns: columns, in: tensor([(rows * columns + 1) / 2]))
    }

    /// A tensor as an operand, which keeps it alive.
    package func operand(_ tensor: Tensor) -> Operand {
        precision == .float32 ? Operand(tensor.matrix, of: tensor) : operand(tensor.matrix)
    }

    /// A matrix as an operand. In float32 it is the matrix itself, which the caller keeps alive.
    package func operand(_ matrix: Matrix) -> Operand {
        guard precision == .bfloat16 else { return Operand(matrix, of: nil) }
        let result = emptyOperand(rows: matrix.rows, columns: matrix.columns)
        if let copy = result.matrix {
            matrix.round(into: copy)
        } else {
            matrix.round(into: result.address.assumingMemoryBound(to: UInt16.self))
        }
        return matrix.isTransposed ? result.transposed : result
    }

    /// A copy of which each element is rounded to bfloat16.
    func rounded(_ tensor: Tensor) -> Tensor {
        let result = self.tensor(tensor.shape)
        tensor.matrix.round(into: result.matrix)
        return result
    }

    /// `c = a·b`, or `c += a·b` when adding, of operands of this device; counted as work, as all products here.
    package func multiply(_ a: Operand, _ b: Operand, into c: Matrix, adding: Bool = false) throws {
        let inner = a.isTransposed ? a.rows : a.columns
        timeline?.count(operations: 2 * c.rows * inner * c.columns)
        if let a = a.matrix, let b = b.matrix { return try Tensors.multiply(a, b, into: c, adding: adding) }
        guard c.rows > 0 && c.columns > 0 && inner > 0 else {
            if !adding { for r in 0..<c.rows { c.row(r).update(repeating: 0, count: c.columns) } }
            return
        }
        let shape = RoundedProductShape(
            a, b, resultStride: c.stride, use: adding ? .added : .written, isResultRounded: false)
        try run(shape, a, b, into: UnsafeMutableRawPointer(c.base))
    }

    /// `c = a·b`, or `c += a·b` when adding, in this device's precision.
    package func multiply(_ a: Matrix, _ b: Matrix, into c: Matrix, adding: Bool = false) throws {
        try multiply(operand(a), operand(b), into: c, adding: adding)
    }

    /// `a·b` as an operand, or `max(a·b + bias, 0)`: its sums are of float32, and each is rounded once.
    /// - Parameter bias: a number for each column.
    package func product(_ a: Operand, _ b: Operand, rectifiedAfter bias: Tensor? = nil) throws -> Operand {
        let (rows, columns) = (a.isTransposed ? a.columns : a.rows, b.isTransposed ? b.rows : b.columns)
        let result = emptyOperand(rows: rows, columns: columns)
        guard let matrix = result.matrix else {
            guard rows > 0 && columns > 0 else { return result }
            let shape = RoundedProductShape(
                a, b, resultStride: result.stride, use: bias == nil ? .written : .rectified,
                isResultRounded: true)
            timeline?.count(operations: 2 * rows * shape.inner * columns)
            try run(shape, a, b, bias: bias, into: result.address)
            return result
        }
        try multiply(a, b, into: matrix)
        if let bias { matrix.addBiasAndRectify(bias.base) }
        if precision == .bfloat16 { matrix.round(into: matrix) }
        return result
    }

    private func run(
        _ shape: RoundedProductShape, _ a: Operand, _ b: Operand, bias: Tensor? = nil,
        into result: UnsafeMutableRawPointer
    ) throws {
        var arguments = [(DNNL_ARG_SRC, a.address), (DNNL_ARG_WEIGHTS, b.address), (DNNL_ARG_DST, result)]
        if let bias { arguments.append((DNNL_ARG_BIAS, bias.address)) }
        try roundedProduct(shape).run(arguments)
        withExtendedLifetime((a, b)) {}
    }
}

/// What oneDNN makes a product of bfloat16 for.
struct RoundedProductShape: Hashable {
    let rows, inner, columns: Int
    let firstStride, secondStride, resultStride: Int
    let isFirstTransposed, isSecondTransposed, isResultRounded: Bool
    let use: ResultUse

    init(_ a: Operand, _ b: Operand, resultStride: Int, use: ResultUse, isResultRounded: Bool) {
        rows = a.isTransposed ? a.columns : a.rows
        inner = a.isTransposed ? a.rows : a.columns
        columns = b.isTransposed ? b.rows : b.columns
        (firstStride, secondStride, self.resultStride) = (a.stride, b.stride, resultStride)
        (isFirstTransposed, isSecondTransposed) = (a.isTransposed, b.isTransposed)
        (self.use, self.isResultRounded) = (use, isResultRounded)
    }

    func primitive(device: Device) throws -> Primitive {
        let first = try Description(
            rows: rows, columns: inner, stride: firstStride, isTransposed: isFirstTransposed, dnnl_bf16)
        let second = try Description(
            rows: inner, columns: columns, stride: secondStride, isTransposed: isSecondTransposed, dnnl_bf16)
        let result = try Description(
            rows: rows, columns: columns, stride: resultStride, isTransposed: false,
            isResultRounded ? dnnl_bf16 : dnnl_f32)
        let bias = try Description(rows: 1, columns: columns, stride: columns, isTransposed: false, dnnl_f32)
        return try Primitive(device: device, use: use) { made, attributes in
            product_description_create(
                &made, device.engine, first.base, second.base, use == .rectified ? bias.base : nil,
                result.base, attributes)
        }
    }
}

extension Matrix {
    /// Rounded to bfloat16, in rows that follow each other.
    fileprivate func round(into target: UnsafeMutablePointer<UInt16>) {
        inParallel(rows, elements: columns) { part in
            for r in part {
                let (source, result) = (row(r), target + r * columns)
                for c in 0..<columns { result[c] = bfloat16(source[c]) }
            }
        }
    }

    /// Rounded to bfloat16, as float32.
    fileprivate func round(into target: Matrix) {
        inParallel(rows, elements: columns) { part in
            for r in part {
                let (source, result) = (row(r), target.row(r))
                for c in 0..<columns { result[c] = Float(bfloat16: bfloat16(source[c])) }
            }
        }
    }
}
