import Collectives

/// The views of each image for a method that takes any number of them, of two sizes.
package struct ViewCounts: SettingsTree {
    /// Number of large views, at least 2, and of small ones.
    package var large = 2
    package var small = 0
    /// Sides in pixels; 0 for the images' own size.
    package var largeSize = 0
    package var smallSize = 0

    package init() {}

    package static let help = [
        "large": "large views of each image, 2 to 64, cropped by data.augmentation.crop",
        "small": "small views of each image, 0 to 64, cropped by data.augmentation.smallCrop",
        "largeSize": "side of large views in pixels; 0 for the images' own size",
        "smallSize": "side of small views in pixels; 0 for the images' own size",
    ]

    /// Throws `InputError` where a value is out of its range.
    package func check() throws {
        try require((2...64).contains(large), "views.large", large, "2 to 64")
        try require((0...64).contains(small), "views.small", small, "0 to 64")
        for (name, size) in [("largeSize", largeSize), ("smallSize", smallSize)] {
            try require(size == 0 || (4...1024).contains(size), "views.\(name)", size, "0, or 4 to 1024 pixels")
        }
    }

    package var all: Int { large + small }

    /// Number of views in each group.
    package var counts: [Int] { small == 0 || largeSize == smallSize ? [all] : [large, small] }

    /// The groups of views, large ones first; one group where both sizes are the same.
    package func groups(_ augmentation: Augmentation) -> [ViewGroup] {
        func side(_ size: Int) -> Int? { size == 0 ? nil : size }
        let small = augmentation.ofSmallView
        guard counts.count == 2 else {
            let views = Array(repeating: augmentation, count: large) + Array(repeating: small, count: self.small)
            return [ViewGroup(views, side: side(largeSize))]
        }
        return [
            ViewGroup(large, of: augmentation, side: side(largeSize)),
            ViewGroup(self.small, of: small, side: side(smallSize)),
        ]
    }
}
