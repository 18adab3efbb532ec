/// Height, width and channels of an image or of a feature map.
package struct MapShape: Equatable, Sendable {
    package let height, width, channels: Int

    package init(height: Int, width: Int, channels: Int) {
        self.height = height
        self.width = width
        self.channels = channels
    }

    /// Number of locations, M² where the map is square.
    package var locations: Int { height * width }
}

extension [MapShape] {
    /// Index of the map that is the local one by default: the last whose longer side is at least 7, otherwise the first.
    var defaultLocal: Int { lastIndex { Swift.max($0.height, $0.width) >= 7 } ?? 0 }
}
