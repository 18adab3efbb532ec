import Tensors

/// Added to the variances along directions of patches, so that those that are nearly constant aren't all noise (the
/// published value).
private let whiteningEpsilon: Float = 5e-4

/// Filters [2·size, size] that whiten patches: the principal directions of patches by falling variance λ, each divided
/// by sqrt(λ + 5e-4), then their negatives.
/// - Parameters:
///   - covariance: [size, size] of patches, around 0.
/// - Throws: `InputError` where it isn't finite; `LAPACKError`.
func whiteningFilters(covariance: [Float], size: Int) throws -> [Float] {
    let (values, vectors) = try leadingEigenvectors(of: covariance, size: size, count: size)
    let filters = values.enumerated().flatMap { index, value in
        let scale = 1 / (max(value, 0) + whiteningEpsilon).squareRoot()
        return vectors[index * size..<(index + 1) * size].map { scale * $0 }
    }
    return filters + filters.map { -$0 }
}
