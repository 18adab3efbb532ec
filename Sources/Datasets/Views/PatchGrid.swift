import Collectives

/// Patches of an image, in rows and columns, evenly spaced from edge to edge. Each is half as high and half as wide as the
/// image.
package struct PatchGrid: Equatable, Sendable {
    package let rows, columns: Int

    package var count: Int { rows * columns }

    /// - Parameter text: rows and columns: `5x5`.
    /// - Throws: `InputError` for anything else.
    package init(_ text: String, option: String) throws {
        let numbers = text.split(separator: "x", omittingEmptySubsequences: false).map { Int($0) ?? 0 }
        guard numbers.count == 2, numbers.allSatisfy((1...16).contains) else {
            throw InputError("\(option) is \(text): it must be rows and columns of 1 to 16 each, such as 5x5")
        }
        (rows, columns) = (numbers[0], numbers[1])
    }

    /// A patch of an image, by rows.
    func window(_ index: Int, of image: ImageShape) -> PixelWindow {
        let (height, width) = (max(1, image.height / 2), max(1, image.width / 2))
        /// Of one patch alone, the middle.
        func start(_ index: Int, of count: Int, rest: Int) -> Int {
            count == 1 ? rest / 2 : (2 * index * rest + count - 1) / (2 * (count - 1))
        }
        return PixelWindow(
            top: start(index / columns, of: rows, rest: image.height - height),
            left: start(index % columns, of: columns, rest: image.width - width), height: height, width: width)
    }
}
