/// The tiles of the outputs of some images, in order of images, rows and columns.
struct Tiles {
    /// Of the first image.
    let first: Int
    let count: Int
    /// Pixels along a side.
    private let side: Int
    /// Tiles of an image.
    private let rows, columns: Int

    init(images: Range<Int>, of shape: ConvolutionShape, side: Int) {
        first = images.lowerBound
        self.side = side
        rows = (shape.outputHeight + side - 1) / side
        columns = (shape.outputWidth + side - 1) / side
        count = images.count * rows * columns
    }

    /// Tiles of one image.
    var ofImage: Int { rows * columns }

    /// Image, and upper left pixel, of a tile.
    @inline(__always)
    func corner(_ index: Int) -> (image: Int, row: Int, column: Int) {
        let (row, column) = index.quotientAndRemainder(dividingBy: columns)
        return (first + row / rows, side * (row % rows), side * column)
    }
}

/// A matrix [rows, channels] for each point.
struct Points {
    let count, rows, channels: Int
    private let memory: Tensor
    /// Elements from one point's matrix to the next. A cache line more than the matrix: otherwise all points of an
    /// element would fall into one set of the caches.
    private let step: Int

    init<Tile: WinogradTile>(_ tile: Tile.Type, rows: Int, channels: Int, device: Device) {
        count = Tile.points
        self.rows = rows
        self.channels = channels
        step = rows * channels + 16
        memory = device.tensor([count, step])
    }

    subscript(point: Int) -> Matrix {
        Matrix(base: memory.base + point * step, rows: rows, columns: channels, stride: channels)
    }

    /// Sets all rows to transforms of squares of vectors.
    /// - Parameter source: a vector of a row's square; nil for zeros.
    func set<T: LineTransform>(by line: T.Type, _ source: (_ row: Int, _ index: Int) -> UnsafePointer<Float>?) {
        inParallel(rows, elements: count * channels) { part in
            TransformMemory.with(channels: channels) { memory in
                for row in part {
                    for i in 0..<T.inputs * T.inputs { memory.sources[i] = source(row, i) ?? memory.zeros }
                    for p in 0..<count { memory.targets[p] = address(p, row) }
                    T.transform(memory, channels: channels, adding: false)
                }
            }
        }
    }

    /// Transforms all rows to squares of vectors.
    /// - Parameters:
    ///   - adding: whether to add to the vectors. Those of rows of one group may be the same.
    ///   - group: rows that follow each other.
    ///   - target: a vector of a row's square; nil where it isn't needed.
    func get<T: LineTransform>(
        by line: T.Type, adding: Bool = false, group: Int = 1,
        _ target: (_ row: Int, _ index: Int) -> UnsafeMutablePointer<Float>?
    ) {
        inParallel(rows, step: group, elements: count * channels) { part in
            TransformMemory.with(channels: channels) { memory in
                for row in part {
                    for p in 0..<count { memory.sources[p] = UnsafePointer(address(p, row)) }
                    for i in 0..<T.outputs * T.outputs { memory.targets[i] = target(row, i) ?? memory.unused }
                    T.transform(memory, channels: channels, adding: adding)
                }
            }
        }
    }

    private func address(_ point: Int, _ row: Int) -> UnsafeMutablePointer<Float> {
        memory.base + point * step + row * channels
    }
}

/// Images [n, height, width, channels], cut into tiles.
struct Map {
    let base: UnsafeMutablePointer<Float>
    let height, width, channels: Int

    init(inputOf shape: ConvolutionShape, _ base: UnsafeMutablePointer<Float>) {
        self.base = base
        (height, width, channels) = (shape.height, shape.width, shape.inputChannels)
    }

    init(outputOf shape: ConvolutionShape, _ base: UnsafeMutablePointer<Float>) {
        self.base = base
        (height, width, channels) = (shape.outputHeight, shape.outputWidth, shape.outputChannels)
    }

    /// Sets rows to the transforms of squares of pixels, one for each tile; pixels outside the image count as 0.
    /// - Parameter offset: from a tile's upper left pixel to the square's, in rows and in columns.
    func read<T: LineTransform>(_ tiles: Tiles, by line: T.Type, offset: Int, into points: Points) {
        points.set(by: line) { tile, index in
            pixel(tiles.corner(tile), offset + index / T.inputs, offset + index % T.inputs).map { UnsafePointer($0) }
        }
    }

    /// Sets squares of pixels, one for each tile, to the transforms of rows, or adds these. What falls outside the image is
    /// left out.
    func write<T: LineTransform>(_ tiles: Tiles, by line: T.Type, offset: Int, from points: Points, adding: Bool) {
        points.get(by: line, adding: adding, group: adding ? tiles.ofImage : 1) { tile, index in
            pixel(tiles.corner(tile), offset + index / T.outputs, offset + index % T.outputs)
        }
    }

    /// A pixel beside another; nil outside the image.
    @inline(__always)
    private func pixel(
        _ corner: (image: Int, row: Int, column: Int), _ down: Int, _ right: Int
    ) -> UnsafeMutablePointer<Float>? {
        let (row, column) = (corner.row + down, corner.column + right)
        guard row >= 0 && row < height && column >= 0 && column < width else { return nil }
        return base + ((corner.image * height + row) * width + column) * channels
    }
}
