import Tensors

/// The bound on mutual information that is maximised.
package enum Estimator: String, Codable, CaseIterable, Sendable {
    /// Noise-contrastive bound (van den Oord et al. 2018), a lower bound of ln(candidates) - loss nats.
    case infoNCE
    /// Jensen-Shannon f-divergence (Nowozin et al. 2016; Hjelm et al. 2019, eq. 4), 0 for a critic that is always 0.
    case jensenShannon
}

/// What InfoNCE's softmax runs over.
package enum Anchor: String, Codable, CaseIterable, Sendable {
    /// A global vector has to tell a location of its own image from the locations of all other images, as published.
    case global
    /// A location has to tell the global vector of its own image from those of all other images.
    case local
}

extension Estimator {
    /// The mutual-information bound in nats at this loss, where the estimator gives one.
    package func mutualInformation(loss: Double, anchor: Anchor, images: Int, locations: Int) -> Double? {
        switch (self, anchor) {
        case (.infoNCE, .global): (1 + Double(images - 1) * Double(locations)).logarithm - loss
        case (.infoNCE, .local): Double(images).logarithm - loss
        case (.jensenShannon, _): nil
        }
    }
}
