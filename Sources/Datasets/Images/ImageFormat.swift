import Foundation

/// The formats of images that we read.
package enum ImageFormat: String, Codable, CaseIterable, Sendable {
    case idx
    case cifar10
    case cifar100
    case stl10
    case numPy
    /// JPEG and PNG files.
    case folder

    /// Files with a split's images, by which a folder's format is recognised; empty where the format has no such split.
    /// For IDX and `.npy` they are several names of one file.
    func names(_ split: Split) -> [String] {
        switch (self, split) {
        case (.idx, .train), (.idx, .test): idxNames("images-idx3-ubyte", split)
        case (.cifar10, .train): (1...5).map { "data_batch_\($0).bin" }
        case (.cifar10, .test): ["test_batch.bin"]
        case (.cifar100, .train), (.cifar100, .test): ["\(split.rawValue).bin"]
        case (.stl10, .train), (.stl10, .test): ["\(split.rawValue)_X.bin"]
        case (.stl10, .unlabelled): ["unlabeled_X.bin"]
        case (.numPy, .train), (.numPy, .test): ["\(split.rawValue).npy"]
        case (.numPy, .unlabelled): ["unlabelled.npy", "unlabeled.npy"]
        case (.idx, _), (.cifar10, _), (.cifar100, _), (.folder, _): []
        }
    }

    /// Folders into which its archive unpacks. They are searched in addition to the given one.
    var subfolders: [String] {
        switch self {
        case .idx, .numPy, .folder: [""]
        case .cifar10: ["", "cifar-10-batches-bin"]
        case .cifar100: ["", "cifar-100-binary"]
        case .stl10: ["", "stl10_binary"]
        }
    }

    var description: String {
        switch self {
        case .idx: "IDX (train-images-idx3-ubyte[.gz])"
        case .cifar10: "CIFAR-10 (data_batch_1.bin, also in cifar-10-batches-bin/)"
        case .cifar100: "CIFAR-100 (train.bin, also in cifar-100-binary/)"
        case .stl10: "STL-10 (train_X.bin, also in stl10_binary/)"
        case .numPy: "NumPy (train.npy; or give a .npy file)"
        case .folder: "image files (.jpg, .jpeg, .png, also in folders)"
        }
    }
}

/// The names under which a split's IDX file is found, the preferred one first.
func idxNames(_ ending: String, _ split: Split) -> [String] {
    let stem = split == .train ? "train" : "t10k"
    let dotted = ending.replacingOccurrences(of: "-idx", with: ".idx")
    return [ending, dotted].flatMap { ["\(stem)-\($0)", "\(stem)-\($0).gz"] }
}
