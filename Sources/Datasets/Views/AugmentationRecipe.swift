import Collectives

/// Named sets of values of an augmentation, from published programs.
package enum AugmentationRecipe: String, Choice {
    /// No values of its own: what isn't set is off, or as the method has it where its own default is `none`.
    case none
    /// As in SimCLR (Chen et al. 2020), with the weaker crops and greys that are better for small images.
    case simclr
    /// As in BYOL (Grill et al. 2020): two views whose blur and solarisation differ.
    case byol
    /// As in SwAV (Caron et al. 2020), for views of two sizes.
    case multiCrop
    /// As in EMP-SSL (Tong et al. 2023): many square windows, each a quarter of the image.
    case patches
}

extension Augmentation {
    /// The values of a recipe; nil for `none`.
    ///
    /// Views of up to 32 pixels aren't blurred, because most programs for CIFAR-10 don't: three pixels of blur take away
    /// most of what such a view has.
    package init?(_ recipe: AugmentationRecipe) {
        self.init()
        self.recipe = recipe
        flip = true
        (jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue) = (0.4, 0.4, 0.4, 0.1)
        jitter.probability = 0.8
        greyscale = 0.2
        blur.above = 32
        switch recipe {
        case .none: return nil
        case .simclr:
            crop = RandomCrop(0.2...1)
            // With 0.2, SimCLR lost nearly a point of accuracy on CIFAR-10.
            greyscale = 0.1
            blur.probability = 0.5
        case .byol:
            crop = RandomCrop(0.08...1)
            jitter.saturation = 0.2
            blur.probability = ViewProbability([1, 0.1])
            solarise.probability = ViewProbability([0, 0.2])
        case .multiCrop:
            crop = RandomCrop(0.3...1)
            smallCrop = RandomCrop(0.05...0.4)
            greyscale = 0.1
            blur.probability = 0.5
        case .patches:
            crop = RandomCrop(0.25...0.25, ratio: 1)
            smallCrop = crop
            jitter.hue = 0.2
            blur.probability = 0.1
            solarise.probability = 0.1
        }
    }

    /// The defaults of the other settings where these choose another recipe than the method's.
    package func chosenDefaults(over defaults: Augmentation) -> Augmentation {
        recipe == defaults.recipe ? defaults : Augmentation(recipe) ?? Augmentation()
    }

    /// Without the changes that a recipe has and images of this kind can't have, and a phrase on each of them, such as
    /// `greyscale`. Values that differ from the recipe's stay.
    func without(unfitFor shape: ImageShape, holdsBytes: Bool) -> (augmentation: Augmentation, leftOut: [String]) {
        guard let own = Augmentation(recipe) else { return (self, []) }
        var (result, leftOut) = (self, [String]())
        func drop<Value: Equatable>(_ path: WritableKeyPath<Augmentation, Value>, _ name: String, _ off: Value) {
            guard self[keyPath: path] == own[keyPath: path], self[keyPath: path] != off else { return }
            result[keyPath: path] = off
            leftOut.append(name)
        }
        if !holdsBytes {
            drop(\.jitter.brightness, "jitter.brightness", 0)
            drop(\.jitter.contrast, "jitter.contrast", 0)
            drop(\.solarise.probability, "solarise", 0)
        }
        if !holdsBytes || shape.channels != 3 {
            drop(\.jitter.saturation, "jitter.saturation", 0)
            drop(\.jitter.hue, "jitter.hue", 0)
            drop(\.greyscale, "greyscale", 0)
        }
        return (result, leftOut)
    }
}
