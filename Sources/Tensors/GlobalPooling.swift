// Pools over all locations of a feature map, [images, height, width, channels], to [images, channels].

extension Tensor {
    private var locations: Int { shape[1] * shape[2] }

    /// Sets this tensor, [images, channels], to the means of a map.
    package func setToMeans(of map: Tensor) {
        let (channels, locations) = (map.shape[3], map.locations)
        let factor = 1 / Float(locations)
        inParallel(map.shape[0], elements: locations * channels) { part in
            for image in part {
                let (x, y) = (map.base + image * locations * channels, base + image * channels)
                y.update(repeating: 0, count: channels)
                for location in 0..<locations {
                    let x = x + location * channels
                    for c in 0..<channels { y[c] += x[c] }
                }
                for c in 0..<channels { y[c] *= factor }
            }
        }
    }

    /// Sets this tensor, a map, to the gradient by the elements of its means.
    /// - Parameter dy: [images, channels].
    package func setToGradient(ofMeans dy: Tensor) {
        let (channels, locations) = (shape[3], locations)
        let factor = 1 / Float(locations)
        inParallel(shape[0], elements: locations * channels) { part in
            for image in part {
                let (dx, dy) = (base + image * locations * channels, dy.base + image * channels)
                for location in 0..<locations {
                    let dx = dx + location * channels
                    for c in 0..<channels { dx[c] = factor * dy[c] }
                }
            }
        }
    }

    /// Sets this tensor, [images, channels], to the largest elements of a map; returns their locations, of equals the
    /// first.
    package func setToMaxima(of map: Tensor) -> [Int32] {
        let (channels, locations) = (map.shape[3], map.locations)
        var winners = [Int32](repeating: 0, count: count)
        winners.withUnsafeMutableBufferPointer { winners in
            guard let winners = winners.baseAddress else { return }
            for image in 0..<map.shape[0] {
                let (x, y) = (map.base + image * locations * channels, base + image * channels)
                let winner = winners + image * channels
                y.update(from: x, count: channels)
                for location in 1..<max(locations, 1) {
                    let (x, number) = (x + location * channels, Int32(location))
                    for c in 0..<channels {
                        let isLarger = x[c] > y[c]
                        y[c] = isLarger ? x[c] : y[c]
                        winner[c] = isLarger ? number : winner[c]
                    }
                }
            }
        }
        return winners
    }

    /// Sets this tensor, a map, to the gradient by the elements of its maxima.
    /// - Parameters:
    ///   - dy: [images, channels].
    ///   - winners: the locations that `setToMaxima` returned.
    package func setToGradient(ofMaxima dy: Tensor, at winners: [Int32]) {
        fill(0)
        let (channels, locations) = (shape[3], locations)
        for image in 0..<shape[0] {
            for c in 0..<channels {
                let i = image * channels + c
                base[(image * locations + Int(winners[i])) * channels + c] = dy.base[i]
            }
        }
    }
}
