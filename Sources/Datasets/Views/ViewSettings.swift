import Collectives
import Foundation

/// Whether the views of the next batch are made while a step runs. They are the same either way.
package enum ViewsAhead: String, Choice {
    /// Where the rank's machine has more cores than its ranks have threads.
    case automatic
    case always
    case never

    func isOn(hasSpareCore: Bool) -> Bool {
        switch self {
        case .automatic: hasSpareCore
        case .always: true
        case .never: false
        }
    }
}

/// The images of a run, and their augmentation.
package struct ViewSettings: DataSettings {
    /// Folder or file of images.
    package var path = ""
    package var split: Split = .train
    /// Side in pixels of the squares that images are resized and cropped to; 0 leaves them as they are.
    package var imageSize = 0
    /// Channels. For image files 1 or 3; 0 gives 3 for image files, and leaves other formats as they are.
    package var channels = 0
    /// Order of axes of `.npy` images.
    package var layout: ArrayLayout = .automatic
    /// Leave out image files that can't be read or decoded.
    package var skipBroken = false
    /// V, a power of two; 0 takes the largest that the data allow, up to 64.
    package var virtualShards = 0
    package var augmentation = Augmentation()
    package var ahead = ViewsAhead.automatic

    package init() {}

    package static let parts: [String: any SettingsTree.Type] = ["augmentation": Augmentation.self]
    package static let help = [
        "path": "folder or file of images",
        "split": "which part of the data: \(Split.expectation)",
        "imageSize": "side in pixels that images are resized and cropped to; 0 leaves them as they are",
        "channels": "1 or 3, for image files; 0 gives 3 for image files and leaves other formats as they are",
        "layout":
            "order of .npy images: channelsLast [N, height, width, channels], or channelsFirst [N, channels, height, "
            + "width]; automatic means channelsLast, but refuses images that look like channelsFirst",
        "skipBroken": "leave out image files that can't be decoded",
        "virtualShards": "number of virtual shards, a power of two, at least the largest number of ranks; 0 takes up "
            + "to 64",
        "ahead": "when a batch is made beside the step before, on a thread of its own: \(ViewsAhead.expectation); "
            + "automatic: where a core is free",
    ]
    package static let changeable = ["path", "skipBroken", "ahead"]

    package func chosenDefaults(over defaults: ViewSettings) -> ViewSettings {
        var result = defaults
        result.augmentation = augmentation.chosenDefaults(over: defaults.augmentation)
        return result
    }

    package func adopting(_ earlier: ViewSettings) -> ViewSettings {
        guard virtualShards == 0 else { return self }
        var result = self
        result.virtualShards = earlier.virtualShards
        return result
    }

    /// These settings as later commands need them, in any folder.
    func resolved(virtualShards: Int) -> ViewSettings {
        var result = self
        result.virtualShards = virtualShards
        result.path = URL(fileURLWithPath: path).path
        return result
    }

    package func check() throws {
        try require(
            (0...ImageShape.longestSide).contains(imageSize), "data.imageSize", imageSize,
            "0 to \(ImageShape.longestSide) pixels")
        try require([0, 1, 3].contains(channels), "data.channels", channels, "0, 1 or 3")
        try require(
            virtualShards == 0
                || (1...VirtualShards.largest).contains(virtualShards) && virtualShards.nonzeroBitCount == 1,
            "data.virtualShards", virtualShards, "0 or a power of two up to \(VirtualShards.largest)")
        try augmentation.check()
    }

    /// The request to `ImageSource`. Rank 0 reports progress.
    func request(for ranks: any Ranks) -> ImageRequest {
        var request = ImageRequest(
            path: path, split: split, imageSize: imageSize, channels: channels, layout: layout, skipBroken: skipBroken)
        if ranks.isFirst { request.progress = LoadingProgress().report }
        return request
    }
}
