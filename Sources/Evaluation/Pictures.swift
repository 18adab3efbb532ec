import Datasets
import Tensors

/// The images of this rank's rows of features, in the same order.
package struct Pictures {
    package let shape: ImageShape
    private let fill: (_ rows: [Int], _ destination: UnsafeMutablePointer<Float>) -> Void

    /// - Parameter fill: writes the images of these rows, counted from this rank's first, [rows, height, width,
    ///   channels]. For reconstruction, values are in -1...1.
    package init(
        shape: ImageShape, fill: @escaping (_ rows: [Int], _ destination: UnsafeMutablePointer<Float>) -> Void
    ) {
        self.shape = shape
        self.fill = fill
    }

    /// The images of a data set that this rank holds. Pixels from 0 to 255 become -1...1; others are normalised.
    package init(_ dataset: ImageDataset, normalisation: Normalisation) {
        let half = [Double](repeating: 0.5, count: dataset.shape.channels)
        let normalisation = dataset.holdsBytes ? Normalisation(mean: half, deviation: half) : normalisation
        self.init(shape: dataset.shape) { rows, destination in
            dataset.fill(
                destination, indices: rows.map { dataset.images.lowerBound + $0 }, normalisation: normalisation)
        }
    }

    /// [rows, height, width, channels] of these rows.
    func tensor(of rows: [Int], device: Device) -> Tensor {
        let result = device.tensor([rows.count, shape.height, shape.width, shape.channels])
        fill(rows, result.base)
        return result
    }
}
