import Tensors

extension Tape {
    /// Each row divided by its Euclidean norm, [n, D]. A row whose norm is below 1e-12 becomes 0 and has no gradient.
    package func unitRows(_ x: Variable) -> Variable {
        let input = x.value.matrix
        let inverse = input.rowProducts(input).map { square -> Float in
            // A norm that isn't a number must reach the loss.
            square < 1e-24 ? 0 : Float(1 / square.squareRoot())
        }
        let y = device.tensor(x.shape)
        y.matrix.setRows(of: input, times: inverse)
        return record(y, from: [x]) { [unowned self] dy in
            // dx = (dy - y·<y, dy>)/|x|
            let along = y.matrix.rowProducts(dy.matrix)
            dy.matrix.addRows(of: y.matrix, times: along.map { Float(-$0) })
            dy.matrix.setRows(of: dy.matrix, times: inverse)
            pass(dy, to: x)
        }
    }

    /// Row i of each part, then row i + 1 of each, and so on: parts of [n, D] to [n·parts, D].
    package func interleaveRows(_ parts: [Variable]) -> Variable {
        let (rows, columns) = (parts[0].shape[0], parts[0].shape[1])
        /// Rows k, k + parts, … of the whole.
        func rowsOfPart(_ k: Int, _ whole: Tensor) -> Matrix {
            Matrix(base: whole.base + k * columns, rows: rows, columns: columns, stride: parts.count * columns)
        }
        let whole = device.tensor([rows * parts.count, columns])
        for (k, part) in parts.enumerated() { rowsOfPart(k, whole).copy(from: part.value.matrix) }
        return record(whole, from: parts) { [unowned self] gradient in
            for (k, part) in parts.enumerated() {
                let slice = device.tensor(part.shape)
                slice.matrix.copy(from: rowsOfPart(k, gradient))
                pass(slice, to: part)
            }
        }
    }

    /// The rows of each part after those of the part before: parts of [nₖ, D] to [sum of nₖ, D].
    package func concatenateRows(_ parts: [Variable]) -> Variable {
        let columns = parts[0].shape[1]
        let whole = device.tensor([parts.reduce(0) { $0 + $1.shape[0] }, columns])
        var starts: [Int] = []
        var rows = 0
        for part in parts {
            starts.append(rows * columns)
            whole.view(from: rows * columns, shape: part.shape).copy(from: part.value)
            rows += part.shape[0]
        }
        return record(whole, from: parts) { [unowned self] gradient in
            for (part, start) in zip(parts, starts) {
                pass(to: part) { destination, adding in
                    let own = gradient.view(from: start, shape: part.shape)
                    if adding { destination.add(own) } else { destination.copy(from: own) }
                }
            }
        }
    }

    /// The sum of arrays of equal shape.
    package func sum(_ parts: [Variable]) -> Variable { parts.dropFirst().reduce(parts[0], add) }
}
