/// Adds the products of all pairs of values in a patch of 2x2 pixels, over some rows of such patches of an image.
/// - Parameters:
///   - image: [height, width, channels].
///   - rows: the patches' upper rows, each below height - 1.
///   - sums: [4·channels, 4·channels]; the index of a patch is (channel·2 + row)·2 + column, as in a filter [O, I, 2, 2].
package func addPatchProducts(
    of image: UnsafePointer<Float>, rows: [Int], width: Int, channels: Int, to sums: UnsafeMutablePointer<Double>
) {
    let size = 4 * channels
    var patch = [Float](repeating: 0, count: size)
    var block = [Float](repeating: 0, count: size * size)  // of one row of patches
    patch.withUnsafeMutableBufferPointer { patch in
        block.withUnsafeMutableBufferPointer { block in
            guard let patch = patch.baseAddress, let block = block.baseAddress else { return }
            for row in rows {
                block.update(repeating: 0, count: size * size)
                for column in 0..<max(width - 1, 0) {
                    let above = image + (row * width + column) * channels
                    let below = above + width * channels
                    for c in 0..<channels {
                        patch[4 * c] = above[c]
                        patch[4 * c + 1] = above[channels + c]
                        patch[4 * c + 2] = below[c]
                        patch[4 * c + 3] = below[channels + c]
                    }
                    for i in 0..<size {
                        let (value, products) = (patch[i], block + i * size)
                        for j in 0..<size { products[j] += value * patch[j] }
                    }
                }
                for i in 0..<size * size { sums[i] += Double(block[i]) }
            }
        }
    }
}
